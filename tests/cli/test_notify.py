"""A regression is told once, and once more when it is over: by issues, a webhook and e-mail."""

from __future__ import annotations

import http.server
import json
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from gaudi_perf.judging.regressions import Finding, notices
from gaudi_perf.notifying import mail
from gaudi_perf.reports.notices import reproduction
from gaudi_perf.session.values import workloads
from gaudi_perf.stores.results import ResultsStore
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.stack import Stack
from gaudi_perf.vocabulary.verdict import CaseReport, Reason, Session, Verdict, VerdictKind
from gaudi_perf.vocabulary.workload import Workload
from tests.cli.conftest import PROJECT, Invoke
from tests.cli.test_json import answer
from tests.golden_files import Golden
from tests.stores.factories import make_run

SECRET = "T0-secret-B0"
Measure = Callable[..., None]


@pytest.fixture
def measure(here: Path) -> Measure:
    """Writes a session with one case, whose verdict is of a kind."""

    def write(day: int, kind: str, ratio: float = 1.08, *, waived: str = "", high: float | None = None) -> None:
        at = f"2026-12-{day:02}T02:00:00Z"
        run = make_run(ratio, devices=8, version="1.24.0", session=f"night-{day:02}", started_at=at)
        verdict = Verdict(
            kind=VerdictKind(kind),
            reason=Reason.SLOWER if kind == "REGRESSED" else Reason.TOO_IMPRECISE,
            role="release",
            baseline="gaudi2/synapse-1.23.0",
            baseline_stack=Stack(kind="synapse", version="1.23.0", components={"driver": "1.23.0"}),
            ratio=ratio,
            low=ratio - 0.02,
            high=high or ratio + 0.02,
            tolerance=0.05,
            p_slower=0.0001,
        )
        report = CaseReport(case=run.case, run_ids=[run.run_id], verdicts=[verdict], waived=waived)
        store = ResultsStore(here / "results")
        store.write_run(run)
        store.write_session(Session(session_id=run.session_id, started_at=at, ended_at=at, cases=[report]))

    return write


class Server:
    """A webhook on this machine: what was posted, and what it answers next."""

    def __init__(self) -> None:
        self.posted: list[Any] = []
        self.answers: list[int] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                status = outer.answers.pop(0) if outer.answers else 200
                if status == 200:
                    outer.posted.append(body)
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", "/elsewhere")
                self.end_headers()

            def do_GET(self) -> None:
                raise AssertionError("a redirection was followed")

            def log_message(self, *arguments: object) -> None:
                pass

        self.server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}/services/{SECRET}"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    made = Server()
    thread = threading.Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    monkeypatch.setenv("GAUDI_PERF_WEBHOOK_URL", made.address)
    monkeypatch.setattr("gaudi_perf.notifying.webhook._PAUSES_S", (0.01, 0.01))
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


@pytest.fixture
def programs(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """``gh`` and ``sendmail`` that keep what they are given."""
    (here / "bin").mkdir()
    for name, body in (
        ("gh", f'exec {sys.executable} {PROJECT}/tests/injected/pretended_gh.py "$@"'),
        ("sendmail", f'echo "$@" >> {here}/mail; cat >> {here}/mail'),
    ):
        (here / "bin" / name).write_text(f"#!/bin/sh\n{body}\n")
        (here / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{here / 'bin'}:/usr/bin:/bin")
    monkeypatch.setenv("PRETENDED_GH", str(here / "gh.json"))
    monkeypatch.setenv("GH_TOKEN", SECRET)
    return here


def test_once_when_it_begins_and_once_when_it_is_over(
    invoke: Invoke, measure: Measure, server: Server, programs: Path, golden: Golden
) -> None:
    link = ("--link", "run=https://ci.example.com/7")
    everywhere = ("--state", "open.json", "--webhook", "json", "--mail", "perf@example.com", *link)
    measure(1, "UNCHANGED", 1.0)
    assert invoke("notify", "results", *everywhere).exit_code == 0
    measure(2, "REGRESSED")
    assert invoke("notify", "results", "--dry-run", *everywhere).exit_code == 1
    assert server.posted == [] and not (programs / "mail").exists()
    for day in (3, 4):
        measure(day, "REGRESSED", 1.09)
        assert invoke("notify", "results", *everywhere).exit_code == 1
    assert invoke("notify", "results", *everywhere).exit_code == 1, "the same night again"
    assert [one["notices"][0]["event"] for one in server.posted] == ["opened"]
    measure(5, "INCONCLUSIVE", 1.06)  # it may still be as slow: this is no recovery
    assert invoke("notify", "results", *everywhere).exit_code == 1
    measure(6, "INCONCLUSIVE", 1.01, high=1.06)
    assert invoke("notify", "results", *everywhere).exit_code == 0
    assert [one["notices"][0]["event"] for one in server.posted] == ["opened", "recovered"]
    measure(7, "REGRESSED")
    assert invoke("notify", "results/night-07", *everywhere).exit_code == 1
    measure(8, "REGRESSED", waived="accepted on 2026-12-08: overflow checks")
    slack = ("--state", "open.json", "--webhook", "slack", *link)
    assert invoke("notify", "results", *slack).exit_code == 0
    assert server.posted[-1]["text"].startswith("accepted: ")
    mail = (programs / "mail").read_text()
    assert SECRET not in invoke.transcript + mail
    golden("notify.txt", invoke.transcript)
    golden("notify_mail.txt", mail)
    golden("notify_slack.txt", json.dumps(server.posted[-1], indent=1) + "\n")


def test_issues(invoke: Invoke, measure: Measure, programs: Path, golden: Golden) -> None:
    for day in (1, 2):
        measure(day, "REGRESSED")
        assert invoke("notify", "results", "--github").exit_code == 1
    (issue,) = json.loads((programs / "gh.json").read_text())["issues"]
    assert issue["edits"] == 1 and issue["state"] == "open"
    golden("notify_issue.md", issue["body"])
    measure(3, "UNCHANGED", 1.0)
    assert invoke("notify", "results", "--github").exit_code == 0
    kept = json.loads((programs / "gh.json").read_text())
    assert kept["issues"][0]["state"] == "closed"
    kept["issues"].append({"number": 2, "title": "?", "body": "by a person", "state": "open", "edits": 0})
    (programs / "gh.json").write_text(json.dumps(kept))
    assert "issue 2: has the label" in invoke("notify", "results", "--github").output


def test_ways_that_fail(invoke: Invoke, measure: Measure, server: Server, programs: Path, golden: Golden) -> None:
    """What could not be told is told the next time; one way that fails keeps no other from being used."""
    measure(1, "REGRESSED")
    ways = ("--state", "open.json", "--webhook", "json")
    server.answers = [503, 429, 200]  # busy at first
    assert invoke("notify", "results", *ways).exit_code == 1 and len(server.posted) == 1
    (programs / "open.json").unlink()
    for answers in ([404], [302], [500, 500, 500]):
        server.answers = answers
        done = invoke("notify", "results", *ways, "--mail", "perf@example.com")
        assert done.exit_code == 2 and not (programs / "open.json").exists() and server.answers == []
    assert (programs / "mail").read_text().count("Subject:") == 3
    (programs / "bin/sendmail").write_text("#!/bin/sh\necho no route >&2\nexit 75\n")
    invoke("notify", "results", "--state", "open.json", "--mail", "perf@example.com")
    assert SECRET not in invoke.transcript
    golden("notify_failures.txt", invoke.transcript)


def test_mistakes(
    invoke: Invoke, measure: Measure, programs: Path, golden: Golden, monkeypatch: pytest.MonkeyPatch
) -> None:
    invoke.mistake("notify", "results", "--dry-run")
    measure(1, "REGRESSED")
    state = ("--state", "open.json")
    invoke.mistake("notify", "results", "--mail", "perf@example.com")
    invoke.mistake("notify", "results", *state, "--webhook", "slack")
    invoke.mistake("notify", "results", *state, "--link", "javascript:x")
    invoke.mistake("notify", "results", *state, "--mail", "a@example.com\nBcc: b@example.com")
    invoke.mistake("notify", "results", "--state", "nowhere/open.json", "--mail", "a@example.com")
    for address in ("ftp://x", "http://example.com/hook", "https://[", "no address"):
        monkeypatch.setenv("GAUDI_PERF_WEBHOOK_URL", address)
        invoke.mistake("notify", "results", *state, "--webhook", "json")
    (programs / "open.json").write_text('{"schema": "gaudi-perf/regressions/2"}')
    invoke.mistake("notify", "results", *state)
    monkeypatch.setenv("PATH", "/nowhere")
    invoke.mistake("notify", "results", "--github")
    golden("notify_mistakes.txt", invoke.transcript)


def test_an_address_that_no_message_can_hold() -> None:
    with pytest.raises(UserError, match=r"is no address of e-mail"):
        mail.checked("\udcff@example.com")


def test_another_model_is_named(measure: Measure, here: Path) -> None:
    measure(1, "REGRESSED")
    read = ResultsStore(here / "results").read_session("night-01")
    assert read.session is not None
    run, report = read.runs[0], read.session.cases[0]
    case = replace(run.case, configuration=replace(run.case.configuration, model="llama3-8b"), architecture="a1b2")
    run = replace(run, case=case)
    (notice,) = notices({}, [Finding(replace(report, case=case), run)])
    assert " --model llama3-8b " in reproduction(notice)


def test_the_command_measures_the_workload_of_the_case(measure: Measure, here: Path) -> None:
    measure(1, "REGRESSED")
    read = ResultsStore(here / "results").read_session("night-01")
    assert read.session is not None
    for text in ("batch=4,prompt=64,new=16,dtype=float32", "batch=2,beams=4", "contrastive=0.6:4"):
        case = replace(read.runs[0].case, workload=Workload(**workloads(text)[0]), weights="hub")
        run, report = replace(read.runs[0], case=case), replace(read.session.cases[0], case=case)
        (notice,) = notices({}, [Finding(report, run)])
        assert f" --workload {text} --weights hub" in reproduction(notice)


def test_the_document(invoke: Invoke, measure: Measure) -> None:
    measure(1, "REGRESSED")
    found = answer(invoke, "notify", "notify", "results", "--dry-run", status=1)
    assert "--model" not in found["notices"][0]["reproduce"]
    assert found["open"] == 1 and found["notices"][0]["stack_changes"][0] == "synapse 1.23.0 -> 1.24.0"
