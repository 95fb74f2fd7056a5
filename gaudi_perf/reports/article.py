"""The article's table, from the stored baselines: latency per model, device count and device, speed-ups, cost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gaudi_perf.reports.text import Cell, Words
from gaudi_perf.vocabulary.baseline import Entry
from gaudi_perf.vocabulary.documents import Document
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.formats import counted, seconds, throughput
from gaudi_perf.vocabulary.models import shipped
from gaudi_perf.vocabulary.workload import FP8, Dtype

if TYPE_CHECKING:
    import pandas

REFERENCE = "a100-80gb"
PUBLISHED_PRICE = "the article's own price: about 13 dollars an hour for a server of 8 Gaudis (AWS DL1), 2023-03-28"
"""https://huggingface.co/blog/habana-gaudi-2-bloom"""

Prices = Mapping[str, float]
"""Dollars an hour of one device, by the device's name."""

_UNKNOWN = "-"
_DEVICES_OF_A_SERVER = 8
_SAME = ["model", "devices", "new_tokens", "batch_size", "prompt_tokens", "search"]
"""What must be equal for a speed-up: the model, the device count, and what is generated."""


class TableRow(Document, frozen=True, kw_only=True):
    """A row: a latency in seconds, and what it means; null where the reference has none, or without a price.

    ``fp8_speed_up``: of a row in FP8, the latency of the same device and stack in bfloat16 by this one.
    """

    model: str
    devices: int
    device: str
    stack: str
    graphs: bool
    kv_cache: bool
    mode: str
    latency_s: float
    tokens_per_s: float
    speed_up: float | None = None
    dtype: Dtype = "bfloat16"
    fp8_speed_up: float | None = None
    usd_per_million_tokens: float | None = None


@dataclass(frozen=True)
class Article:
    """The table; ``priced`` if it has a column of costs."""

    rows: tuple[TableRow, ...]
    notes: tuple[str, ...]
    priced: bool

    @property
    def words(self) -> Words:
        """The table as people read it."""
        rows: list[Sequence[Cell]] = []
        fp8 = any(row.dtype in FP8 for row in self.rows)
        for row in self.rows:
            cells: list[Cell] = [
                shipped()[row.model].title if row.model in shipped() else row.model,
                f"{row.devices}x",
                row.device,
                row.stack,
                row.mode,
                f"{row.latency_s:.3f} s" if row.latency_s >= 0.1 else seconds(row.latency_s),  # as the article has them
                throughput(row.tokens_per_s),
                _UNKNOWN if row.speed_up is None else f"{row.speed_up:.2f}x",
            ]
            if fp8:
                cells.append(_UNKNOWN if row.fp8_speed_up is None else f"{row.fp8_speed_up:.2f}x")
            if self.priced:
                dollars = row.usd_per_million_tokens
                cells.append(_UNKNOWN if dollars is None else f"{dollars:.2f}")
            rows.append(cells)
        columns = ["model", "devices", "device", "stack", "mode", "latency", "tok/s", "speed-up"]
        columns += ["by FP8"] * fp8 + ["$/M"] * self.priced
        right = ("devices", "latency", "tok/s", "speed-up", "by FP8", "$/M")
        return Words("", columns, rows, self.notes, right=right)


def article_table(
    entries: Sequence[Entry], *, reference: str, prices: Prices, newest: bool, everything: bool
) -> Article:
    """A row for each model, device count, device and stack.

    A speed-up is the latency of the reference device by this one's: 1.2x takes the reference 1.2 times as long. The
    fastest entry of the reference with the same model, device count and workload counts, not in FP8. Only full-size
    models on real devices are shown, and their fastest configuration unless ``everything`` is; of each device with
    ``newest`` the newest stack of each kind alone. Without prices there is no column of costs.
    """
    real = [one for one in entries if one.case.case.scale == "full" and not one.device.emulated]
    if not real:
        return Article((), (), bool(prices))
    chosen = _frame(real)
    wide = chosen[~chosen["dtype"].isin(FP8)]
    fastest_reference = wide[wide["device"] == reference].groupby(_SAME)["level_s"].min().to_dict()
    in_bfloat16 = wide[wide["dtype"] == "bfloat16"].groupby(["device", "stack", *_SAME])["level_s"].min().to_dict()
    if newest:
        chosen = chosen[chosen["order"] == chosen.groupby(["device", "kind", *_SAME])["order"].transform("max")]
    if not everything:
        chosen = chosen.loc[chosen.groupby(["device", "stack", "fp8", *_SAME])["level_s"].idxmin()]
    chosen = chosen.sort_values(["place", "model", "count_down", "device", "kind", "order", "level_s"])
    rows = []
    for index, row in zip(chosen.index, chosen.to_dict("records"), strict=True):
        configuration, workload = real[index].case.case.configuration, real[index].case.case.workload
        best = fastest_reference.get(tuple(row[name] for name in _SAME))
        before = in_bfloat16.get(tuple(row[name] for name in ("device", "stack", *_SAME))) if row["fp8"] else None
        price, tokens = prices.get(row["device"]), row["new_tokens"] * row["batch_size"]
        rows.append(
            TableRow(
                model=row["model"],
                devices=row["devices"],
                device=row["device"],
                stack=row["stack"],
                graphs=configuration.graphs,
                kv_cache=configuration.kv_cache,
                mode=", ".join([configuration.mode, *["no cache"][configuration.kv_cache :], *workload.differing]),
                latency_s=row["level_s"],
                tokens_per_s=workload.tokens_per_s(row["level_s"]),
                speed_up=None if best is None else best / row["level_s"],
                dtype=row["dtype"],
                fp8_speed_up=None if before is None else before / row["level_s"],
                usd_per_million_tokens=None
                if price is None
                else usd_per_million_tokens(price, row["devices"], row["level_s"], tokens),
            )
        )
    notes = _notes([real[index] for index in chosen.index], len(entries) - len(real), reference, prices)
    return Article(tuple(rows), notes, bool(prices))


def parse_price(text: str) -> tuple[str, float]:
    """A device, and dollars an hour of one: of ``gaudi2=10.42`` (a server of 8), or ``gaudi2=1.3/1`` (a server of 1).
    Raises UserError if it is written otherwise, or is not above 0.
    """
    device, _, rest = text.partition("=")
    dollars, slash, devices = rest.partition("/")
    try:
        count = int(devices) if slash else _DEVICES_OF_A_SERVER
        price = float(dollars) / count
        if not (device and device == device.strip() and count > 0 and 0 < price < math.inf):
            raise ValueError
    except (ValueError, ZeroDivisionError):
        raise UserError(
            f"--dollars-per-hour {text}: write a device and the dollars an hour of its server, as gaudi2=10.42 for a "
            "server of 8 devices or gaudi2=1.30/1 for a server of 1"
        ) from None
    return device, price


def usd_per_million_tokens(price: float, devices: int, latency_s: float, tokens: int) -> float:
    """Dollars for a million new tokens, one request at a time; the price is that of one device for an hour.

    A generation takes ``latency_s`` and yields ``tokens`` of all prompts of the batch.
    """
    return price * devices / 3600 * latency_s / tokens * 1e6


def _frame(entries: Sequence[Entry]) -> pandas.DataFrame:
    import pandas

    models = list(shipped())
    orders = {order: rank for rank, order in enumerate(sorted({entry.stack.order for entry in entries}))}
    frame: pandas.DataFrame = pandas.DataFrame(
        [
            {
                "place": models.index(configuration.model) if configuration.model in models else len(models),
                "device": entry.device.name,
                "kind": entry.stack.kind,
                "stack": entry.stack.name,
                "order": orders[entry.stack.order],
                "count_down": -configuration.devices,
                "level_s": entry.case.level_s,
                "model": configuration.model,
                "devices": configuration.devices,
                "new_tokens": workload.new_tokens,
                "batch_size": workload.batch_size,
                "prompt_tokens": workload.prompt_tokens,
                "search": f"{workload.num_beams} {workload.penalty_alpha} {workload.top_k}",
                "dtype": workload.dtype,
                "fp8": workload.dtype if workload.dtype in FP8 else "",
            }
            for entry in entries
            for configuration, workload in [(entry.case.case.configuration, entry.case.case.workload)]
        ]
    )
    return frame


def _notes(chosen: Sequence[Entry], left_out: int, reference: str, prices: Prices) -> tuple[str, ...]:
    workloads = dict.fromkeys(entry.case.case.workload.words for entry in chosen)
    notes = [
        f"latency of one generation: {'; '.join(workloads)}",
        f"speed-up: the fastest latency of {reference} with the same model and device count, by this one",
    ]
    if any(entry.case.case.workload.dtype in FP8 for entry in chosen):
        notes.append("by FP8: the latency of the same device and stack in bfloat16, by this one")
    if prices:
        given = ", ".join(f"{device} ${price:.4g} an hour for each device" for device, price in prices.items())
        notes.append(f"$/M: dollars for a million new tokens, one request at a time, from --dollars-per-hour: {given}")
        notes.append(PUBLISHED_PRICE)
    if left_out:
        notes.append(f"{counted(left_out, 'entry', 'entries')} of stand-in shapes or emulated devices left out")
    published: dict[str, dict[str, None]] = {}
    for entry in chosen:
        if entry.case.published is not None:
            published.setdefault(entry.case.published.address, {})[entry.label] = None
    notes += [f"published: {', '.join(labels)}: {page}" for page, labels in published.items()]
    if any(entry.case.published is None for entry in chosen):
        notes.append(f"measured: {'all others' if published else 'all'}")
    return tuple(notes)
