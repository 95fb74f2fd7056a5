from __future__ import annotations

import json
import re
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest

from gaudi_perf.judging.trends import trends
from gaudi_perf.reports.markdown import session_markdown
from gaudi_perf.reports.page import session_page
from gaudi_perf.reports.page.data import ShownComparison
from gaudi_perf.reports.page.render import bar
from gaudi_perf.reports.terminal import summary
from gaudi_perf.stores.history import read_history
from gaudi_perf.stores.results import ResultsStore
from gaudi_perf.vocabulary.run import Run
from gaudi_perf.vocabulary.stack import Stack
from gaudi_perf.vocabulary.telemetry import DeviceProcess, DeviceSample, Telemetry
from gaudi_perf.vocabulary.verdict import CaseReport, Session, Verdict, VerdictKind
from tests.golden_files import Golden
from tests.reports.demonstration import Demonstration
from tests.reports.factories import EVERY_RUN, EVERYTHING, SLOWER
from tests.stores.factories import make_run
from tests.vocabulary.factories import verdict_saying

EVIL = {
    "a script": "</script><script>alert(1)</script>",
    "a comment": "<!--<script>",
    "an attribute": '" onmouseover="alert(1)',
    "a link": "[x](javascript:alert(1)) <a href=javascript:alert(1)>",
    "separators": "a\u2028b\u2029c",
    "ANSI": "\x1b[31mred\x1b]0;title\x07",
    "bidi": "\u202eDESSAP\u2066x\u2069",
    "10 kB": "n" * 10_000,
    "a formula": "=HYPERLINK(1)",
    "a template": "{{ 7 * 7 }}{% raw %}",
    "a table": "a | b | @everyone `code` $x$",
    "half a character": "\ud800",
}


class Page(HTMLParser):
    """What an HTML parser makes of a page: its tags, their attributes, its texts, the data."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.ids: list[str] = []
        self.texts: list[str] = []
        self.scripts: list[str] = []
        self._script = False
        self.feed(page.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._script = tag == "script"
        self.ids += [value for name, value in attrs if name == "id" and value]

    def handle_endtag(self, tag: str) -> None:
        self._script = False

    def handle_data(self, data: str) -> None:
        (self.scripts if self._script else self.texts).append(data)

    @property
    def data(self) -> dict[str, object]:
        return json.loads(self.scripts[0])  # type: ignore[no-any-return]

    def case(self, case_id: str) -> dict[str, object]:
        (found,) = (case for case in self.data["cases"] if case["id"] == case_id)  # type: ignore[attr-defined]
        return found  # type: ignore[no-any-return]


def words_of(page: Page) -> str:
    """What the page says: the texts of its HTML, then those that its script shows."""
    html = [" ".join(text.split()) for text in page.texts if text.strip()]
    lines = ["# on the page", *html[html.index("gaudi-perf") :]]
    facts_of = next(case["id"] for case in page.data["cases"] if case.get("facts"))  # type: ignore[attr-defined]
    for case in page.data["cases"]:  # type: ignore[attr-defined]
        lines += ["", f"# {case['id']}", case["headline"]]
        lines += [case[name] for name in ("waived", "problem") if case.get(name)] + case.get("notes", [])
        for comparison in case.get("comparisons", []):
            lines += [f"against {comparison.get('against', 'nothing')}:", *(f"  {text}" for text in comparison["why"])]
        lines += [case["limit"]["text"]] if case.get("limit") else []
        for change in (case.get("trend") or {}).get("changes", []):
            lines.append(f"{change['text']}: {', '.join(change.get('changed', []))}")
        if case["id"] == facts_of:
            for heading, facts in case["facts"].items():
                lines += [f"{heading}:", *(f"  {name}: {value}" for name, value in facts)]
    return "\n".join(lines)


def session_of(runs: Sequence[Run], *verdicts: Verdict, **more: object) -> Session:
    report = CaseReport(case=runs[0].case, run_ids=[run.run_id for run in runs], verdicts=list(verdicts), **more)  # type: ignore[arg-type]
    times = {"started_at": "2026-01-31T12:00:00Z", "ended_at": "2026-01-31T12:01:00Z"}
    return Session(session_id="session-1", cases=[report], **times)


def page_of(directory: Path, runs: Sequence[Run], *verdicts: Verdict, **more: object) -> Page:
    session = session_of(runs, *verdicts, **more)
    return Page(session_page(session, {runs[0].case.id: runs}, ResultsStore(directory), directory))


REGRESSED = msgspec.structs.replace(
    SLOWER, baseline_stack=Stack(kind="synapse", version="1.21.0", components={"driver": "1.21.0"})
)


@pytest.fixture(scope="module")
def demonstration(tmp_path_factory: pytest.TempPathFactory) -> tuple[Demonstration, Page]:
    made = Demonstration(tmp_path_factory.mktemp("demonstration"), cases=8, sessions=12, runs=5)
    session = made.write()
    read = {run.run_id: run for run in made.results.read_session(session.session_id).runs}
    runs = {report.case.id: [read[run_id] for run_id in report.run_ids] for report in session.cases}
    page = session_page(session, runs, made.results, made.baselines.directory, ["gaudi-perf report"])
    return made, Page(page)


def test_every_case_has_a_row_and_can_be_linked(demonstration: tuple[Demonstration, Page]) -> None:
    made, page = demonstration
    links = [attributes.get("href") for tag, attributes in page.tags if tag == "a"]
    for case in made.cases:
        assert case.id in page.ids and f"#{case.id}" in links
    assert len(set(page.ids)) == len(page.ids)


def test_the_worst_comes_first(demonstration: tuple[Demonstration, Page]) -> None:
    cases = demonstration[1].data["cases"]
    assert isinstance(cases, list)
    severities = [case["severity"] for case in cases]
    assert severities == sorted(severities) and cases[0]["state"] == "regressed"


def test_a_case_has_rounds_baseline_trend_levels_and_limit(demonstration: tuple[Demonstration, Page]) -> None:
    made, page = demonstration
    case = page.case(made.cases[3].id)
    assert [len(run["kept"]) for run in case["rounds"]] == [10] * 5  # type: ignore[attr-defined]
    assert [len(run["warm"]) for run in case["rounds"]] == [7] * 5  # type: ignore[attr-defined]
    first = case["comparisons"][0]  # type: ignore[index]
    assert first["kind"] == "REGRESSED" and len(first["runs"]) == 5 and first["split"]
    trend = case["trend"]
    assert len(trend["level"]) == len(trend["at"]) == 12 and trend["at"] == sorted(trend["at"])  # type: ignore[index]
    stacks = page.data["stacks"]
    assert [stacks[index] for index, _ in case["levels"]] == [  # type: ignore[index, attr-defined]
        f"synapse-1.2{minor}.0" for minor in range(5)
    ]
    assert 0 < case["limit"]["share"] < 1  # type: ignore[index]
    environment = page.data["environments"][first["environment"]]  # type: ignore[index]
    assert ["pytorch", "2.9.0", "2.10.0"] in environment["changed"]
    assert {"Graphs", "Host", "Throughput and memory", "Time spent"} <= case["facts"].keys()  # type: ignore[attr-defined]


def test_its_words(demonstration: tuple[Demonstration, Page], golden: Golden) -> None:
    golden("page/demonstration.txt", words_of(demonstration[1]))


def test_its_words_of_every_verdict(tmp_path: Path, golden: Golden) -> None:
    page = Page(session_page(EVERYTHING, EVERY_RUN, ResultsStore(tmp_path), tmp_path, ["gaudi-perf report"]))
    golden("page/every_verdict.txt", words_of(page))


def test_nothing_is_loaded(demonstration: tuple[Demonstration, Page]) -> None:
    page = demonstration[1]
    for tag, attributes in page.tags:
        assert tag not in ("iframe", "img", "object", "embed", "base")
        for name, value in attributes.items():
            assert name not in ("src", "action", "style") and not name.startswith("on"), (tag, name)
            assert name != "href" or (value or "").startswith(("#", "data:,")), value
    (policy,) = (a["content"] for tag, a in page.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None and policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy and "http" not in policy
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", page.scripts[1])


@pytest.mark.parametrize("evil", EVIL.values(), ids=EVIL)
def test_text_of_documents_does_no_harm(evil: str, tmp_path: Path) -> None:
    name = evil[:190]
    run = make_run(model=name, components={name or "x": evil, "driver": evil}, weights=name)
    stack = Stack(kind="synapse", version="1.21.0", components={evil: evil}, settings={evil: "1"})
    verdict = verdict_saying(
        VerdictKind.REGRESSED, evil, evil, baseline=evil, baseline_stack=stack, ratio=1.2, low=1.1,
        high=1.3, baseline_median_s=1.0,
    )  # fmt: skip
    page = page_of(tmp_path, [run], verdict, waived=evil)
    assert sum(tag == "script" for tag, _ in page.tags) == 2
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    hrefs = [attributes["href"] for tag, attributes in page.tags if tag == "a"]
    assert all(href is not None and href.startswith("#") for href in hrefs)
    everything = "".join([*page.texts, json.dumps(page.data, ensure_ascii=False)])
    assert not set(everything) & set("\x1b\x07\u202e\u2066\u2028\u2029\ud800")
    assert "{{ 7 * 7 }}" in everything or "{" not in evil  # shown, not evaluated
    assert len(everything) < 120_000


def test_a_session_without_measurements_has_a_page(tmp_path: Path) -> None:
    times = {"started_at": "2026-01-31T12:00:00Z", "ended_at": "2026-01-31T12:01:00Z"}
    case = make_run().case
    reports = [CaseReport(case=case, skipped="needs 8 devices, found 1")]
    for cases in ([], reports, [CaseReport(case=case, failed="killed in load")]):
        page = Page(session_page(Session(session_id="s", cases=cases, **times), {}, ResultsStore(tmp_path), tmp_path))
        assert page.data["session"] == "s"
    assert "killed in load" in "".join(page.texts)


def test_what_instruments_told_is_shown(tmp_path: Path) -> None:
    samples = [
        DeviceSample(device=0, moment="before", clock_mhz=800),
        DeviceSample(device=0, clock_mhz=1650, temperature_c=61, power_w=420),
        DeviceSample(device=3, clock_mhz=1500, temperature_c=83, power_w=430, throttle_reasons=["thermal"]),
    ]
    told = Telemetry(source="pyhlml", samples=samples, foreign_processes=[DeviceProcess(device=3, pid=7, name="x\x1b")])
    run = make_run()
    run = run.__class__(**{**{f: getattr(run, f) for f in run.__struct_fields__}, "measurement": _with(run, told)})
    facts = dict(page_of(tmp_path, [run], REGRESSED).data["cases"][0]["facts"]["Devices during the rounds"])  # type: ignore[index]
    assert facts["clock"] == "1500 (device 3) to 1650 MHz (device 0)"
    assert facts["temperature"].endswith("83 °C (device 3)")
    assert facts["throttled"] == "device 3: thermal"
    assert facts["processes of others"] == "x\\x1b (process 7) on device 3"


def _with(run: Run, told: Telemetry) -> object:
    return msgspec.structs.replace(run.measurement, telemetry=told)


def test_a_refreshed_baseline_is_not_shown_as_what_was_held_against(
    demonstration: tuple[Demonstration, Page], tmp_path: Path
) -> None:
    made, _ = demonstration
    session = made.results.read_session(made.session_id(11)).session
    assert session is not None
    read = {run.run_id: run for run in made.results.read_session(session.session_id).runs}
    runs = {report.case.id: [read[run_id] for run_id in report.run_ids] for report in session.cases}
    changed = [
        report.__class__(case=report.case, run_ids=report.run_ids, verdicts=[REGRESSED]) for report in session.cases
    ]
    other = Session(
        session_id=session.session_id, started_at=session.started_at, ended_at=session.ended_at, cases=changed
    )
    page = Page(session_page(other, runs, made.results, made.baselines.directory))
    assert all("runs" not in case["comparisons"][0] for case in page.data["cases"])  # type: ignore[attr-defined]


def test_unreadable_documents_are_counted(tmp_path: Path) -> None:
    store = ResultsStore(tmp_path)
    store.write_run(make_run(1.5, started_at="2026-01-30T12:00:00.123Z"))
    (tmp_path / "session-1" / "run-broken.json").write_text("{")
    session = Session(
        session_id="session-1", started_at="2026-01-30T12:00:00Z", ended_at="2026-01-30T12:00:00Z", cases=[]
    )
    page = Page(session_page(session, {}, store, tmp_path / "baselines"))
    assert f"1 document under {tmp_path} could not be read: see gaudi-perf history" in "".join(page.texts)


def test_runs_of_other_workloads_hosts_and_devices_are_other_trends(tmp_path: Path) -> None:
    runs = [
        make_run(),
        make_run(new_tokens=4),
        make_run(cpu="other"),
        make_run(device="gaudi3"),
        make_run(weights="hub"),
    ]
    for run in runs:
        ResultsStore(tmp_path).write_run(run)
    assert len(trends(read_history(tmp_path).runs)) == 5


@pytest.mark.parametrize(("low", "ratio", "high"), [(0.98, 1.0, 1.02), (0.2, 0.3, 0.4), (3.0, 9.0, 99.0)])
def test_bars_stay_in_their_place(low: float, ratio: float, high: float) -> None:
    parts = bar(ShownComparison(kind="REGRESSED", key="regressed", low=low, ratio=ratio, high=high, tolerance=0.05))
    assert 0 < parts["low"] <= parts["at"] <= parts["high"] < 132


def test_changes_of_level_are_shown(tmp_path: Path) -> None:
    made = Demonstration(tmp_path, cases=8, sessions=40, runs=5)
    session = made.write()
    read = {run.run_id: run for run in made.results.read_session(session.session_id).runs}
    runs = {report.case.id: [read[run_id] for run_id in report.run_ids] for report in session.cases}
    page = Page(session_page(session, runs, made.results, made.baselines.directory))
    slower = page.case(made.cases[3].id)["trend"]
    assert slower["changes"][-1]["index"] == 32 and 1.08 < slower["changes"][-1]["ratio"] < 1.18  # type: ignore[index]
    assert "driver 1.23.0-695 -> 1.24.0-817" in slower["changes"][-1]["changed"]  # type: ignore[index]


def test_a_change_is_rounded_once(tmp_path: Path) -> None:
    verdict = msgspec.structs.replace(REGRESSED, ratio=1.23454, low=1.15454, high=1.31454)
    page = page_of(tmp_path, [make_run()], verdict)
    everything = [*page.texts, *page.case(make_run().case.id)["comparisons"][0]["why"]]  # type: ignore[index]
    assert not [text for text in everything if "+23.4 %" in text or "23.4 % slower" in text]
    assert any("23.5 % slower [+15.5 %, +31.5 %]" in text for text in everything)
    assert any("+23.5 %" in text for text in page.texts)
    session, runs = session_of([make_run()], verdict), {make_run().case.id: [make_run()]}
    assert "+23.5 [+15.5, +31.5]" in summary(session, runs, width=160, color=False)
    assert "| +23.5 % | &#91;+15.5 %, +31.5 %&#93; |" in session_markdown(session, runs)
    shown = page.case(make_run().case.id)["comparisons"][0]  # type: ignore[index]
    assert (shown["ratio"], shown["low"], shown["high"]) == (1.23454, 1.15454, 1.31454), "the script rounds it itself"
