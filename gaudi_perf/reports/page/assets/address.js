// What is shown is in the address: a case, and how the cases are filtered and sorted. `#case?filter=8x&sort=-ratio`.

/** The part of an address behind `#`, taken apart. What cannot be read is as good as nothing. */
export function parse(hash) {
  const [id, query] = hash.replace(/^#/, "").split("?");
  let name = id;
  try {
    name = decodeURIComponent(id);
  } catch {
    /* a broken address is an unknown one */
  }
  const values = new URLSearchParams(query || "");
  const sort = values.get("sort") || "severity";
  return {
    id: name,
    filter: values.get("filter") || "",
    states: (values.get("verdict") || "").split(",").filter(Boolean),
    key: sort.replace(/^-/, ""),
    up: !sort.startsWith("-"),
  };
}

/** The same put together; what is as usual is left out. */
export function written({ id = "", filter = "", states = [], key = "severity", up = true }) {
  const values = new URLSearchParams();
  if (filter) values.set("filter", filter);
  if (states.length) values.set("verdict", states.join(","));
  if (key !== "severity" || !up) values.set("sort", `${up ? "" : "-"}${key}`);
  const query = values.toString();
  return `#${encodeURIComponent(id)}${query ? `?${query}` : ""}`;
}
