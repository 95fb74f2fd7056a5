"""Hypothesis strategies for documents."""

from __future__ import annotations

from hypothesis import strategies as st
from msgspec.structs import replace

from gaudi_perf.vocabulary.baseline import AcceptedRegression, Anchor, Baseline, CaseBaseline, Published
from gaudi_perf.vocabulary.configuration import Case, Configuration
from gaudi_perf.vocabulary.run import GraphCompilation, Measurement, Run, TokenTimes, WarmUp
from gaudi_perf.vocabulary.stack import Device, Host, Stack
from gaudi_perf.vocabulary.verdict import Advice, CaseReport, Reason, Session, StopReason, Verdict, VerdictKind
from gaudi_perf.vocabulary.workload import DTYPES, Workload

TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)
SECONDS = st.floats(min_value=1e-9, max_value=1e9)
RATIOS = st.floats(min_value=1e-3, max_value=1e3)
LATENCIES = st.lists(SECONDS, min_size=1, max_size=12)
DATES = st.dates().map(lambda day: f"{day.year:04d}-{day.month:02d}-{day.day:02d}")
TIMES = st.datetimes().map(lambda moment: moment.isoformat().split(".")[0] + "Z")
COUNTS = st.integers(min_value=1, max_value=2**63 - 1)
TOKENS = st.lists(st.integers(min_value=0, max_value=250_880), max_size=12)
VERSIONS = st.sampled_from(["1.8.0", "1.9.0-preview", "1.10.0", "1.24.1", "2.13.0+cpu"])

workloads = st.builds(
    Workload, prompt=NAMES, prompt_tokens=COUNTS, new_tokens=COUNTS, batch_size=COUNTS, dtype=st.sampled_from(DTYPES)
)
configurations = st.builds(
    Configuration,
    model=NAMES,
    devices=st.integers(min_value=1, max_value=1024),
    graphs=st.booleans(),
    kv_cache=st.booleans(),
)
devices = st.builds(
    Device,
    name=st.from_regex(r"[a-z0-9][a-z0-9._-]{0,20}", fullmatch=True),
    accelerator=st.sampled_from(["hpu", "cuda", "cpu"]),
    memory_bytes=st.none() | COUNTS,
    available=st.none() | COUNTS,
)
stacks = st.builds(
    Stack,
    kind=st.sampled_from(["synapse", "cuda", "torch", "deepspeed"]),
    version=VERSIONS,
    components=st.dictionaries(TEXT, TEXT, max_size=3),
    settings=st.dictionaries(TEXT, TEXT, max_size=3),
)
hosts = st.builds(
    Host,
    cpu=NAMES,
    cores=COUNTS,
    memory_bytes=COUNTS,
    governor=st.none() | TEXT,
    load=st.none() | st.floats(min_value=0, max_value=1e6),
    steal_percent=st.none() | st.floats(min_value=0, max_value=100),
)


published = st.builds(Published, latency_s=SECONDS, source=NAMES, address=NAMES, published_on=DATES, note=TEXT)
anchors = st.builds(Anchor, latency_s=SECONDS, accepted_on=DATES, stack=TEXT)
accepted = st.builds(
    AcceptedRegression,
    accepted_on=DATES,
    ratio=RATIOS,
    reason=NAMES,
    latency_s=st.none() | SECONDS,
    against=TEXT,
)


cases = st.builds(
    Case,
    configuration=configurations,
    accelerator=st.sampled_from(["hpu", "cuda", "cpu"]),
    workload=workloads,
    scale=st.sampled_from(["standin", "full"]),
    weights=NAMES,
)


@st.composite
def measurements(draw: st.DrawFn) -> Measurement:
    latencies = draw(LATENCIES)
    same_length = st.lists(SECONDS, min_size=len(latencies), max_size=len(latencies))
    return Measurement(
        latencies_s=latencies,
        warm_up=WarmUp(latencies_s=draw(st.lists(SECONDS, max_size=3)), steady=draw(st.booleans()), reason=draw(TEXT)),
        token_times=draw(
            st.none()
            | st.builds(
                TokenTimes,
                first_token_s=st.lists(SECONDS, max_size=3),
                per_output_token_s=st.lists(SECONDS, max_size=3),
            )
        ),
        tokenization_s=draw(st.none() | SECONDS),
        probes_s=draw(st.none() | same_length),
        rank_latencies_s=draw(st.none() | st.lists(same_length, min_size=1, max_size=2)),
        rank_passes_s=draw(st.none() | st.lists(st.lists(SECONDS, max_size=3), min_size=1, max_size=2)),
        peak_memory_bytes=draw(st.none() | COUNTS),
        graph_compilation=draw(
            st.none() | st.builds(GraphCompilation, seconds=st.none() | SECONDS, count=st.none() | COUNTS)
        ),
        token_ids=draw(TOKENS),
        problems=draw(st.lists(TEXT, max_size=2)),
        phases_s=draw(st.dictionaries(TEXT, SECONDS, max_size=3)),
    )


runs = st.builds(
    Run,
    run_id=NAMES,
    session_id=NAMES,
    started_at=TIMES,
    case=cases,
    device=devices,
    stack=stacks,
    host=hosts,
    measurement=measurements(),
)


@st.composite
def case_baselines(draw: st.DrawFn, device: Device, stack: Stack) -> CaseBaseline:
    case = draw(cases)
    extras = {
        "anchor": draw(st.none() | anchors),
        "accepted_regressions": draw(st.lists(accepted, max_size=2)),
        "stack": draw(st.sampled_from([None, stack])),
    }
    if draw(st.booleans()):
        return CaseBaseline(case=case, published=draw(published), token_ids=draw(TOKENS), **extras)
    host = draw(hosts)
    measured = draw(st.lists(runs, min_size=1, max_size=3, unique_by=lambda run: run.run_id))
    alike = [replace(run, case=case, device=device, stack=stack, host=host) for run in measured]
    return replace(CaseBaseline.of(alike), **extras)


@st.composite
def baselines(draw: st.DrawFn) -> Baseline:
    device, stack = draw(devices), draw(stacks)
    entries = draw(st.lists(case_baselines(device, stack), max_size=3, unique_by=lambda entry: entry.key))
    return Baseline(device=device, stack=stack, cases=entries)


verdicts = st.builds(
    Verdict,
    kind=st.sampled_from(list(VerdictKind)),
    reason=st.sampled_from(list(Reason)),
    text=TEXT,
    role=st.sampled_from(["drift", "release", "named", "none"]),
    baseline=TEXT,
    baseline_stack=st.none() | stacks,
    ratio=st.none() | RATIOS,
    low=st.none() | RATIOS,
    high=st.none() | RATIOS,
    baseline_median_s=st.none() | SECONDS,
    advice=st.sampled_from(list(Advice)),
    advice_text=TEXT,
    stop=st.sampled_from(list(StopReason)),
)
reports = st.builds(
    CaseReport,
    case=cases,
    run_ids=st.lists(NAMES, max_size=2),
    verdicts=st.lists(verdicts, max_size=2),
    skipped=TEXT,
    failed=TEXT,
)
sessions = st.builds(Session, session_id=NAMES, started_at=TIMES, ended_at=TIMES, cases=st.lists(reports, max_size=2))
documents = st.one_of(baselines(), runs, sessions)
