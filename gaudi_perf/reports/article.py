"""The article's table, from the stored baselines: latency per model, device count and device, speed-ups, cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from packaging.version import Version

from gaudi_perf.reports.baselines import Entry
from gaudi_perf.reports.prices import PRICES, Price, price_of, usd_per_million_tokens
from gaudi_perf.reports.tabular import Cell, Words
from gaudi_perf.vocabulary.formats import seconds
from gaudi_perf.vocabulary.models import MODELS

REFERENCE = "a100-80gb"
_UNKNOWN = "-"


def article_table(
    entries: Sequence[Entry],
    *,
    reference: str = REFERENCE,
    prices: tuple[Price, ...] = PRICES,
    everything: bool = False,
) -> Words:
    """A row for each model, device count, device and stack.

    A speed-up is the latency of the reference device by this one's: 1.2x takes the reference 1.2 times as long. The
    fastest entry of the reference with the same model, device count and workload counts. Only full-size models on real
    devices are shown.

    Args:
        entries: of all baselines.
        reference: the device that speed-ups are against.
        prices: what servers cost; the latest of each device counts.
        everything: every configuration, not just the fastest of each model, device count, device and stack.
    """
    real = [entry for entry in entries if entry.case.scale == "full" and not entry.device.emulated]
    chosen = sorted(real if everything else _fastest(real), key=_order)
    references: dict[tuple[object, ...], Entry] = {}
    for entry in real:
        if entry.device.name == reference:
            best = references.setdefault(_same(entry), entry)
            if entry.case.level_s < best.case.level_s:
                references[_same(entry)] = entry
    rows = [_row(entry, references.get(_same(entry)), prices) for entry in chosen]
    columns = [
        ("model", "left"),
        ("on", "right"),
        ("device", "left"),
        ("stack", "left"),
        ("mode", "left"),
        ("latency", "right"),
        ("speed-up", "right"),
        ("$/M", "right"),
    ]
    return Words("", columns, rows, _notes(chosen, len(entries) - len(real), reference, prices))


def newest_of_each(entries: Sequence[Entry]) -> list[Entry]:
    """The entries of the newest stack of each kind that has the model on that many devices, for each device."""
    newest: dict[tuple[object, ...], Version] = {}
    for entry in entries:
        key = (entry.device.name, entry.stack.kind, _same(entry))
        newest[key] = max(entry.stack.order, newest.get(key, entry.stack.order))
    return [e for e in entries if e.stack.order == newest[(e.device.name, e.stack.kind, _same(e))]]


def _row(entry: Entry, reference: Entry | None, prices: tuple[Price, ...]) -> Sequence[Cell]:
    configuration, workload = entry.case.configuration, entry.case.workload
    model = MODELS[configuration.model].title if configuration.model in MODELS else configuration.model
    level = entry.case.level_s
    speed_up = _UNKNOWN if reference is None else f"{reference.case.level_s / level:.2f}x"
    price = price_of(entry.device.name, prices)
    cost = _UNKNOWN
    if price is not None and configuration.devices <= price.devices:
        tokens = workload.new_tokens * workload.batch_size
        cost = f"{usd_per_million_tokens(price, configuration.devices, level, tokens):.2f}"
    return (
        model,
        f"{configuration.devices}x",
        entry.device.name,
        entry.stack.name,
        ("graphs" if configuration.graphs else "eager") + ("" if configuration.kv_cache else ", no cache"),
        _article_seconds(level),
        speed_up,
        cost,
    )


def _article_seconds(value: float) -> str:
    """Milliseconds of whole seconds, as the article has them: ``3.717 s``."""
    return f"{value:.3f} s" if value >= 0.1 else seconds(value)


def _notes(chosen: Sequence[Entry], left_out: int, reference: str, prices: tuple[Price, ...]) -> tuple[str, ...]:
    notes = []
    workloads: Mapping[str, None] = dict.fromkeys(
        f"{w.new_tokens} new tokens, {w.prompt_tokens} prompt tokens, batch {w.batch_size}, {w.dtype}"
        for w in (entry.case.workload for entry in chosen)
    )
    notes.append(f"latency of one greedy generation: {'; '.join(workloads)}")
    notes.append(f"speed-up: the fastest latency of {reference} with the same model and device count, by this one")
    notes.append("$/M: dollars for a million new tokens, one request at a time")
    devices = dict.fromkeys(entry.device.name for entry in chosen)
    for device in devices:
        price = price_of(device, prices)
        if price is not None:
            notes.append(
                f"price: {device}: ${price.usd_per_hour:.2f} an hour for {price.devices} devices, {price.offer}, "
                f"as of {price.as_of} ({price.source}); fewer devices cost their share"
            )
        else:
            notes.append(f"price: {device}: none is known: give one with --price {device}=DOLLARS")
    if left_out:
        notes.append(f"{left_out} entries of stand-in shapes or emulated devices are left out")
    published: dict[str, dict[str, None]] = {}
    for entry in chosen:
        if entry.case.published is not None:
            published.setdefault(entry.case.published.address, {})[entry.label] = None
    notes += [f"published: {', '.join(labels)}: {page}" for page, labels in published.items()]
    if any(entry.case.published is None for entry in chosen):
        notes.append(f"measured: {'all others' if published else 'all'}")
    return tuple(notes)


def _fastest(entries: Sequence[Entry]) -> list[Entry]:
    best: dict[tuple[object, ...], Entry] = {}
    for entry in entries:
        key = (entry.device.name, entry.stack.name, _same(entry))
        if key not in best or entry.case.level_s < best[key].case.level_s:
            best[key] = entry
    return list(best.values())


def _same(entry: Entry) -> tuple[object, ...]:
    """What must be equal for a speed-up: the model, the device count, and what is generated."""
    workload = entry.case.workload
    return (
        entry.case.configuration.model,
        entry.case.configuration.devices,
        workload.new_tokens,
        workload.batch_size,
        workload.prompt_tokens,
    )


def _order(entry: Entry) -> tuple[object, ...]:
    configuration = entry.case.configuration
    models = list(MODELS)
    place = models.index(configuration.model) if configuration.model in models else len(models)
    return (
        place,
        configuration.model,
        -configuration.devices,
        entry.device.name,
        entry.stack.kind,
        entry.stack.order,
        entry.case.level_s,
    )
