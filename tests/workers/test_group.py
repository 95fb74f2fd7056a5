"""Worker groups against real processes: what they answer, how they fail, and that nothing is left of them."""

from __future__ import annotations

import socket
import stat
import textwrap
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from gaudi_perf import protocol
from gaudi_perf.accelerators import accelerator_named
from gaudi_perf.protocol import RankReport, Variant
from gaudi_perf.workers.controller.group import GroupFailure, WorkerGroup
from gaudi_perf.workers.controller.plan import Deadlines
from gaudi_perf.workers.controller.rank_monitor import RankMonitor
from tests.workers.conftest import MakeGroup

VARIANT = Variant(graphs=False, kv_cache=True, new_tokens=4)

CONNECTED = """
import json, os, signal, socket, subprocess, sys, time
arguments = dict(zip(sys.argv[1::2], sys.argv[2::2]))
connection = socket.socket(socket.AF_UNIX)
connection.connect(arguments["--socket"])
def say(**words):
    connection.sendall(json.dumps(words).encode() + b"\\n")
def sleeper(**how):
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", arguments["--socket"]], **how).pid
"""
HELLO = CONNECTED + 'say(reply="hello", pid=os.getpid())\n'


def program(*lines: str, hello: bool = True) -> str:
    return (HELLO if hello else CONNECTED) + textwrap.dedent("\n".join(lines))


def ask(group: WorkerGroup, deadline: float | None = None) -> protocol.Pong:
    return group.ask(protocol.Ping(), protocol.Pong, phase="ping", deadline=deadline)


def prepared(group: WorkerGroup) -> WorkerGroup:
    group.start()
    group.load()
    group.ask(protocol.Prepare(variant=VARIANT), protocol.Prepared, phase="prepare")
    return group


def test_a_group_answers_from_start_to_close(make_group: MakeGroup) -> None:
    told: list[str] = []
    group = make_group(progress=told.append)
    prepared(group)
    assert told == ["scripted weights"]
    assert set(group.phases_s) == {"start", "load"} and min(group.phases_s.values()) > 0
    done = group.ask(protocol.Rounds(count=3), protocol.RoundsDone, phase="rounds")
    assert len(done.latencies_s) == 3 and min(done.latencies_s) >= 0.010 and done.token_ids == [1, 2, 3, 4]
    times = group.ask(protocol.TokenRounds(count=2), protocol.TokenRoundsDone, phase="token rounds")
    assert len(times.first_token_s) == len(times.per_output_token_s) == 2
    pid = group.processes.pid
    assert pid is not None and psutil.pid_exists(pid)
    group.close()
    assert not psutil.pid_exists(pid)
    group.close()  # again, harmless


def test_socket_and_log_are_private(make_group: MakeGroup) -> None:
    group = make_group()
    group.start()
    assert stat.S_IMODE(group.processes.log_path.parent.stat().st_mode) == 0o700


def test_closing_before_starting_is_harmless(make_group: MakeGroup) -> None:
    group = make_group()
    group.close()
    assert group.processes.pid is None


def test_a_failed_request_leaves_the_worker_usable(make_group: MakeGroup) -> None:
    group = make_group()
    group.start()
    with pytest.raises(GroupFailure) as failure:
        group.ask(protocol.Rounds(count=1), protocol.RoundsDone, phase="rounds")
    assert failure.value.sentence == "nothing is loaded yet" and failure.value.phase == "rounds"
    assert ask(group) == protocol.Pong()


# ---- nothing is left


def test_a_worker_that_ignores_stop_is_ended(make_group: MakeGroup) -> None:
    group = make_group(program("signal.signal(signal.SIGTERM, signal.SIG_IGN)", "time.sleep(600)"))
    group.start()
    pid = group.processes.pid
    group.close()
    assert pid is not None and not psutil.pid_exists(pid)


@pytest.mark.parametrize("how", ["", "start_new_session=True"], ids=["same session", "own session"])
@pytest.mark.parametrize("end", ["time.sleep(600)", "connection.recv(1)"], ids=["hangs", "obeys"])
def test_children_of_a_worker_end_with_it(make_group: MakeGroup, how: str, end: str) -> None:
    group = make_group(program(f"sleeper({how})", end))
    group.start()
    group.close()  # the fixture sees that no process is left


def test_grandchildren_whose_parent_is_gone_end_too(make_group: MakeGroup) -> None:
    orphan = (
        "code = 'import subprocess, sys; subprocess.Popen([sys.executable, chr(45) + chr(99), *sys.argv[1:]],"
        " start_new_session=True)'",
        "subprocess.run([sys.executable, '-c', code, 'import time; time.sleep(600)', arguments['--socket']])",
        "time.sleep(600)",
    )
    group = make_group(program(*orphan))
    group.start()
    time.sleep(0.5)
    group.close()


def test_children_of_a_worker_that_died_end_too(make_group: MakeGroup) -> None:
    group = make_group(program("sleeper(start_new_session=True)", "os.kill(os.getpid(), signal.SIGKILL)"))
    group.start()
    with pytest.raises(GroupFailure, match="was killed by SIGKILL"):
        ask(group)
    group.close()


# ---- failures


@pytest.mark.parametrize(
    "line",
    ["not json", '{"reply": "pong", "more": 1}', '{"reply": "unheard of"}', "[]", '{"reply": "hello", "pid": 0}', ""],
)
def test_an_answer_that_is_not_valid(make_group: MakeGroup, line: str) -> None:
    group = make_group(program(f"connection.recv(4096); connection.sendall({line!r}.encode() + b'\\n')"))
    group.start()
    with pytest.raises(GroupFailure, match="the worker's answer is not valid") as failure:
        ask(group)
    assert failure.value.phase == "ping" and not failure.value.mistake


def test_another_answer_than_asked_for(make_group: MakeGroup) -> None:
    group = make_group(program('connection.recv(4096); say(reply="prepared"); time.sleep(600)'))
    group.start()
    with pytest.raises(GroupFailure, match="answered Prepared, not Pong"):
        ask(group)


def test_the_log_s_last_lines_are_in_the_failure(make_group: MakeGroup) -> None:
    lines = "print(*[f'line {n}' for n in range(40)], sep=chr(10), flush=True)"
    group = make_group(program("connection.recv(4096)", lines, "sys.exit('the last words')"))
    group.start()
    with pytest.raises(GroupFailure) as failure:
        ask(group)
    assert failure.value.sentence == f"the worker (process {group.processes.pid}) ended with exit status 1 in ping"
    shown = failure.value.log.splitlines()
    assert shown[-1] == "the last words" and shown[-2] == "line 39" and len(shown) == 12


def test_a_log_of_bytes_that_are_no_text(make_group: MakeGroup) -> None:
    group = make_group(program("os.write(1, bytes(range(256)) * 1000 + b'\\nend\\n')", "os._exit(4)"))
    group.start()
    with pytest.raises(GroupFailure, match="exit status 4") as failure:
        ask(group)
    assert failure.value.log.endswith("end")


def test_a_mistake_is_told_without_the_log(make_group: MakeGroup) -> None:
    group = make_group(program('connection.recv(4096); say(reply="failed", message="bad path", mistake=True)'))
    group.start()
    with pytest.raises(GroupFailure) as failure:
        ask(group)
    assert failure.value.mistake and failure.value.sentence == "bad path" and failure.value.log == ""


def test_a_closed_connection_of_a_living_worker(make_group: MakeGroup) -> None:
    group = make_group(program("connection.recv(4096); connection.close(); time.sleep(600)"))
    group.start()
    with pytest.raises(GroupFailure, match="closed its connection in ping"):
        ask(group)


def test_silence_ends_at_the_deadline(make_group: MakeGroup) -> None:
    group = make_group(program("time.sleep(600)"))
    group.start()
    begin = time.monotonic()
    with pytest.raises(GroupFailure, match="gave no answer in ping within 1 s"):
        ask(group, deadline=1.0)
    assert time.monotonic() - begin >= 1


def test_an_answer_that_came_while_this_process_was_stopped_is_read(
    make_group: MakeGroup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To a process that is stopped for a minute (SIGSTOP, then SIGCONT) the clock jumps by it, wherever it was."""
    group = make_group(
        program("connection.recv(1000)", "say(reply='progress', text='half')", "time.sleep(0.3); say(reply='pong')")
    )
    group.start()
    slept, monotonic = [0.0], time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: monotonic() + slept[0])
    group.progress = lambda text: slept.__setitem__(0, 60.0)
    ask(group, deadline=2.0)


def test_an_answer_that_came_while_this_process_was_stopped_listening_is_read(
    make_group: MakeGroup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a short stop in ``recv`` the timeout is over before what has arrived is seen; all of it counts."""
    group = make_group(program("connection.recv(1000)", "say(reply='progress', text='y' * 100_000); say(reply='pong')"))
    group.start()
    connection, slept, monotonic = group._connection, [0.0], time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: monotonic() + slept[0])

    class Stopped:
        def __getattr__(self, name: str) -> Any:
            return getattr(connection, name)

        def recv(self, size: int) -> bytes:
            assert connection is not None
            if not slept[0]:
                connection.settimeout(60)
                while b"pong" not in connection.recv(1 << 18, socket.MSG_PEEK):  # until all of it has come
                    time.sleep(0.01)
                slept[0] = 4.0
                raise TimeoutError
            return connection.recv(size)

    group._connection = Stopped()  # type: ignore[assignment]
    ask(group, deadline=2.0)


def test_a_pause_of_this_process_is_no_silence_of_the_ranks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monitor, now = RankMonitor(tmp_path / "log", silence_s=10.0), 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    monitor._take(RankReport(0, "elsewhere", 7))
    assert monitor.failure("rounds") is None
    now += 60.0
    assert monitor.failure("rounds") is None, "its reports are yet to be read"
    for _ in range(6):
        now += 2.0
        failure = monitor.failure("rounds")
    assert failure is not None and "nothing was heard of rank 0" in failure.sentence


def test_progress_does_not_put_the_deadline_off(make_group: MakeGroup) -> None:
    group = make_group(program("while True: say(reply='progress', text='still at it'); time.sleep(0.05)"))
    group.start()
    with pytest.raises(GroupFailure, match="gave no answer"):
        ask(group, deadline=1.0)


def test_a_worker_that_never_connects(make_group: MakeGroup) -> None:
    group = make_group("import time; time.sleep(600)", deadlines=Deadlines(start=1.0))
    with pytest.raises(GroupFailure, match="gave no answer in start within 1 s"):
        group.start()


def test_a_directory_that_cannot_be_made_is_a_failure_of_the_start(tmp_path: Path) -> None:
    """As on a disk that has no room for one more file."""
    (tmp_path / "file").touch()
    spec = protocol.GroupSpec(engine="cpu", model="bloomz7b", devices=1, scale="standin", dtype="bfloat16")
    group = WorkerGroup(spec, accelerator_named("cpu"), tmp_path / "file" / "group-1", Deadlines())
    with pytest.raises(GroupFailure, match=r"file/group-1: Not a directory$") as caught:
        group.start()
    assert caught.value.phase == "start"
    group.close()


def test_a_worker_that_connects_and_says_nothing(make_group: MakeGroup) -> None:
    group = make_group(program("time.sleep(600)", hello=False), deadlines=Deadlines(start=2.0))
    with pytest.raises(GroupFailure, match="in start") as failure:
        group.start()
    assert failure.value.phase == "start"


def test_a_worker_that_ends_before_it_connects(make_group: MakeGroup) -> None:
    group = make_group("raise SystemExit('no such luck')")
    with pytest.raises(GroupFailure, match="ended with exit status 1 in start") as failure:
        group.start()
    assert "no such luck" in failure.value.log


def test_a_request_to_a_worker_that_died_meanwhile(make_group: MakeGroup) -> None:
    group = make_group(program("os._exit(5)"))
    group.start()
    assert group.processes.pid is not None
    until = time.monotonic() + 5
    while psutil.Process(group.processes.pid).status() != psutil.STATUS_ZOMBIE and time.monotonic() < until:
        time.sleep(0.01)
    with pytest.raises(GroupFailure, match="exit status 5"):
        ask(group)


def test_an_endless_line_is_no_answer(make_group: MakeGroup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gaudi_perf.workers.controller.group._LINE_LIMIT", 1 << 20)
    group = make_group(program("while True: connection.sendall(b'x' * 65536)"))
    group.start()
    with pytest.raises(GroupFailure, match="in ping"):
        ask(group)
