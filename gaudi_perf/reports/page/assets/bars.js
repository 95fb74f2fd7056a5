// The small bar of a change: its interval, the tolerance, right of the middle is slower.
import { svg } from "./elements.js";

const WIDTH = 132;

export function bar(c) {
  const { tolerance } = c;
  const middle = WIDTH / 2;
  const scale = (middle - 8) / (4 * tolerance);
  const place = (ratio) => Math.min(Math.max(middle + (ratio - 1) * scale, 4), WIDTH - 4).toFixed(1);
  const [low, at, high] = [place(c.low), place(c.ratio), place(c.high)];
  const picture = svg("svg", {
    class: `bar s-${c.state}`,
    width: WIDTH,
    height: 18,
    viewBox: `0 0 ${WIDTH} 18`,
    "aria-hidden": "true",
  });
  const zone = { x: middle - tolerance * scale, width: 2 * tolerance * scale, y: 1, height: 16 };
  picture.append(svg("rect", { ...zone, class: "zone" }), svg("path", { d: `M${middle} 0V18`, class: "zero" }));
  picture.append(svg("path", { d: `M${low} 9H${high}M${low} 5V13M${high} 5V13`, class: "line" }));
  picture.append(svg("circle", { cx: at, cy: 9, r: 3.6 }));
  return picture;
}
