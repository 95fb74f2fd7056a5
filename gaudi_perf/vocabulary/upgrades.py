"""Documents of earlier versions as documents of this version: plain values in, plain values out."""

from __future__ import annotations

import re
from typing import Any

Values = dict[str, Any]

_SESSION = re.compile(r"[0-9]{8}T[0-9]{6}\.[0-9]{6}Z-[0-9a-f]{8}\Z")
_HOST_CLASS = re.compile(r"(?:(?P<hosts>[0-9]{1,6}) hosts of )?(?P<cpu>.+), (?P<cores>[0-9]{1,6}) cores\Z")
_KEPT_OF_MEASUREMENT = ("latencies_s", "probes_s", "peak_memory_bytes", "earlier_cases")


def upgraded_baseline(value: Values) -> Values:
    """A baseline as one of version 2; the runs of version 1 had a shape of their own."""
    if value.get("schema") != "gaudi-perf/baseline/1":
        return value
    accelerator = value["device"]["accelerator"]
    entries = [_baseline_entry(entry, accelerator) for entry in value["cases"]]
    return {**value, "schema": "gaudi-perf/baseline/2", "cases": entries}


def _baseline_entry(old: dict[str, Any], accelerator: str) -> dict[str, Any]:
    of_case = ("configuration", "workload", "scale", "weights")
    entry = {name: item for name, item in old.items() if name not in (*of_case, "host_class", "provenance")}
    entry["case"] = {"accelerator": accelerator, **{name: old[name] for name in of_case}}
    host = _HOST_CLASS.match(old.get("host_class") or "")
    if host is not None:
        counts = {"cores": int(host["cores"]), "hosts": int(host["hosts"] or 1)}
        entry["host"] = {"cpu": host["cpu"], "memory_bytes": 0, **counts}
    entry["runs"] = [_baseline_run(run) for run in old.get("runs", [])]
    return entry


def _baseline_run(old: dict[str, Any]) -> dict[str, Any]:
    measurement = {name: old[name] for name in _KEPT_OF_MEASUREMENT if old.get(name) is not None}
    first, following = old.get("first_token_s", []), old.get("per_output_token_s", [])
    if first or following:
        measurement["token_times"] = {"first_token_s": first, "per_output_token_s": following}
    if old.get("graph_compilation_s") is not None:
        measurement["graph_compilation"] = {"seconds": old["graph_compilation_s"]}
    session, _, _ = old["run_id"].rpartition("-")
    return {
        "run_id": old["run_id"],
        # A run's name begins with its session; where it does not (imported runs), the day stands for the session.
        "session_id": session if _SESSION.match(session) else old["measured_at"][:10],
        "started_at": old["measured_at"],
        "measurement": measurement,
    }


_STOPS = {
    "the verdict is clear": "clear",
    "the budget is spent": "budget",
    "more runs within the budget cannot settle it": "futile",
}


def upgraded_session(value: Values) -> Values:
    """A session as one of version 2; the verdicts of version 1 held sentences."""
    if value.get("schema") != "gaudi-perf/session/1":
        return value
    session = {**value, "schema": "gaudi-perf/session/2"}
    family = session.pop("family", "")
    if family:
        cases, rate = re.search(r"over the (\d+) cases", family), re.search(r"at most (\d+)%", family)
        session["error_rate"] = {"cases": int(cases[1]) if cases else 1, "rate": int(rate[1]) / 100 if rate else 0.01}
    session["cases"] = [
        {**report, **{field: [_verdict(one) for one in report.get(field, [])] for field in ("verdicts", "others")}}
        for report in session.get("cases", [])
    ]
    return session


def _verdict(first: dict[str, Any]) -> dict[str, Any]:
    codes = {"INVALID": "invalid", "NO BASELINE": "no-baseline"}
    verdict = dict(first)
    if "reason" in verdict:
        verdict |= {"text": verdict["reason"], "reason": codes.get(verdict.get("kind", ""), "text")}
    if advice := verdict.pop("advice", ""):
        verdict |= {"advice": "text", "advice_text": advice}
    if stop := verdict.pop("stop", ""):
        verdict["stop"] = _STOPS.get(stop, "clear")
    if learned := verdict.get("learned_noise"):
        names = {"nights": "sessions", "night": "session"}
        verdict["learned_noise"] = {names.get(name, name): value for name, value in learned.items()}
    return verdict
