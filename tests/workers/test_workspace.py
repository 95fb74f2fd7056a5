from __future__ import annotations

import os
import re
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.workers.controller import workspace
from gaudi_perf.workers.controller.workspace import LONGEST_SOCKET, Workspace, remove_abandoned

KILLED = """
import os, signal, sys
from pathlib import Path
from gaudi_perf.workers.controller.workspace import Workspace
workspace = Workspace(Path(sys.argv[1]))
(workspace.path / "file").touch()
workspace.doing("bloomz7b-8x: loading\x1b[2J" + "." * 1000)
print(workspace.path, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("w")


def test_it_is_private_and_goes_with_its_content(short: Path) -> None:
    workspace = Workspace(short)
    assert stat.S_IMODE(workspace.path.stat().st_mode) == 0o700
    (workspace.path / "group-1").mkdir()
    (workspace.path / "group-1" / "worker.log").write_text("log")
    workspace.close()
    assert list(short.iterdir()) == []
    workspace.close()  # again, harmless


def test_it_is_private_whatever_the_umask(short: Path) -> None:
    before = os.umask(0)
    try:
        workspace = Workspace(short)
    finally:
        os.umask(before)
    assert stat.S_IMODE(workspace.path.stat().st_mode) == 0o700


def test_what_a_killed_session_left_is_removed_and_nothing_else(short: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(short)], capture_output=True, text=True)
    abandoned = Path(done.stdout.strip())
    assert abandoned.is_dir()
    for name in ("gaudi-perf-results", "gaudi-perf-not-numbers-abc", "other-1-2-3"):
        (short / name).mkdir()
    living = Workspace(short)  # making one removes what is abandoned
    (sentence,) = living.earlier
    assert re.match(r"an earlier session \(process \d+, begun 20\S+Z\) was killed before its end at: bloom", sentence)
    assert "bloomz7b-8x: loading?[2J..." in sentence and len(sentence) < 400, "nothing of it reaches a terminal"
    assert not abandoned.exists()
    assert remove_abandoned(short) == {}
    names = {path.name for path in short.iterdir()}
    assert names == {living.path.name, "gaudi-perf-results", "gaudi-perf-not-numbers-abc", "other-1-2-3"}


def test_a_living_session_of_another_process_is_kept(short: Path) -> None:
    program = KILLED.replace("os.kill(os.getpid(), signal.SIGKILL)", "sys.stdin.read()")
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(short)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    path = Path(process.stdout.readline().strip())
    assert remove_abandoned(short) == {} and path.is_dir()
    process.communicate()
    assert list(remove_abandoned(short)) == [path] and not path.exists()


def test_a_reused_process_id_is_no_sign_of_life(short: Path) -> None:
    workspace = Workspace(short)
    begin = workspace.path.name.split("-")[3]
    other = short / workspace.path.name.replace(begin, str(int(begin) - 60_000))
    other.mkdir()
    assert remove_abandoned(short) == {other: ""}
    assert workspace.path.is_dir()


def test_a_living_session_that_is_not_to_be_seen_is_kept(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is in another container that shares the directory, or the clock was set since it began."""
    living = Workspace(short)
    monkeypatch.setattr(workspace, "_started", lambda pid: 0)
    assert remove_abandoned(short) == {} and living.path.is_dir()
    other = Workspace(short)
    assert other.earlier == [] and living.path.is_dir()
    other.close()
    living.close()
    assert list(short.iterdir()) == []


def test_a_link_is_not_followed(short: Path, tmp_path: Path) -> None:
    (tmp_path / "precious").touch()
    (short / "gaudi-perf-1-1-link").symlink_to(tmp_path)
    assert remove_abandoned(short) == {}
    assert (tmp_path / "precious").exists()


def test_a_path_is_as_long_as_sockets_in_it_permit_and_no_longer(tmp_path: Path, short: Path) -> None:
    probe = Workspace(short)
    name = len(os.fsencode(probe.path.name))
    probe.close()
    # The longest directory in which a socket can be bound, counted from what the kernel permits.
    longest = 107 - len("/" + LONGEST_SOCKET) - name - 1
    base = len(os.fsencode(short))
    assert longest - base > 2, "the directory of the tests is too long for this test"
    fits, over = (short / ("d" * (longest - base - 1 + more)) for more in (0, 1))
    for parent in (fits, over):
        parent.mkdir()
    workspace = Workspace(fits)
    path = workspace.path / LONGEST_SOCKET
    path.parent.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
    workspace.close()
    with pytest.raises(UserError, match=r"too long for sockets in it \(paths of 108 bytes.*: set TMPDIR to a shorter"):
        Workspace(over)
    assert list(over.iterdir()) == []


def test_a_parent_that_is_not_there_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="set TMPDIR"):
        Workspace(tmp_path / "nowhere")
