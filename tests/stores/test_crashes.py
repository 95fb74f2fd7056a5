"""Two that refresh at once, one of them killed; a full disk; a place that cannot be written."""

from __future__ import annotations

import errno
import fcntl
import os
import random
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gaudi_perf.stores import files
from gaudi_perf.stores.baselines import BaselineStore
from gaudi_perf.stores.refresh import Refresh, apply, plan_refresh
from gaudi_perf.stores.results import ResultsStore, read_runs
from gaudi_perf.vocabulary.errors import UserError
from tests.stores.factories import make_run, make_runs

ROOT = Path(__file__).parents[2]
ROUNDS = int(os.environ.get("GAUDI_PERF_CRASH_ROUNDS", "40"))
"""How often a refresher is killed; 200 for a thorough look."""
ONE, EIGHT = "bloomz7b-1x-graphs-kvcache", "bloomz7b-8x-graphs-kvcache"


def refresher(directory: Path, devices: int, times: int, pause: float = 0) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.stores.refresher", str(directory), str(devices), str(times), str(pause)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def start(*processes: subprocess.Popen[str]) -> None:
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()


def levels(directory: Path) -> dict[str, float]:
    store = BaselineStore(directory)
    assert list(store.problems()) == []
    return {case.id: case.level_s for place in store.list() for case in store.load(place).cases}


def leftovers(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.rglob("*") if path.is_file() and not path.name.startswith("synapse-"))


def test_two_refreshers_at_once_lose_nothing(tmp_path: Path) -> None:
    times = 19  # from one to the next it is more than 5 % slower
    one, eight = refresher(tmp_path, 1, times), refresher(tmp_path, 8, times)
    start(one, eight)
    for process in (one, eight):
        process.communicate(timeout=120)
        assert process.returncode == 0
    assert levels(tmp_path) == {ONE: times, EIGHT: times}
    cases = {case.id: case for case in BaselineStore(tmp_path).read("gaudi2", "synapse-1.22.0").cases}
    for case in cases.values():  # every refresh after the first was slower, and its reason is there
        assert [item.reason for item in case.accepted_regressions] == [f"refresh {n}" for n in range(2, times + 1)]
    assert leftovers(tmp_path) == []


def test_a_killed_refresher_leaves_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    """A refresher is killed at a random moment, again and again, while another goes on."""
    dice = random.Random(20260131)
    survivor = refresher(tmp_path, 8, 10**6, pause=0.005)
    start(survivor)
    try:
        for _ in range(ROUNDS):
            victim = refresher(tmp_path, 1, 10**6)
            start(victim)
            time.sleep(dice.uniform(0.0, 0.06))
            victim.send_signal(signal.SIGKILL)
            printed, _ = victim.communicate(timeout=300)
            done = max([int(line) for line in printed.split()], default=0)
            found = levels(tmp_path).get(ONE, 0.0)
            if done:  # the refresh that was killed may have happened or not; those that were reported have happened
                assert found in (done, done + 1)
            assert survivor.poll() is None
    finally:
        survivor.kill()
        printed, _ = survivor.communicate(timeout=300)
    told = max(int(line) for line in printed.split())
    assert levels(tmp_path)[EIGHT] in (told, told + 1)
    apply(plan_refresh(BaselineStore(tmp_path), Refresh(make_runs(0.5))))  # the next writer clears up
    assert leftovers(tmp_path) == []


def test_a_refresher_killed_before_any_of_its_system_calls(tmp_path: Path) -> None:
    """Kill it before its first call of the file system, its second, and so on, until it gets through."""
    store = BaselineStore(tmp_path)
    apply(plan_refresh(store, Refresh(make_runs(1.0))))
    path = tmp_path / "gaudi2" / "synapse-1.22.0.json"
    old = path.read_bytes()
    plan = plan_refresh(store, Refresh(make_runs(0.5)))
    seen = []
    for calls in range(100):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                die_before_call(calls)
                apply(plan)
                status = 0
            finally:
                os._exit(status)
        _, status = os.waitpid(child, 0)
        seen.append(levels(tmp_path)[ONE])
        if os.WIFEXITED(status):
            assert os.WEXITSTATUS(status) == 0
            break
        assert os.WTERMSIG(status) == signal.SIGKILL
        path.write_bytes(old)
    assert len(seen) > 8
    assert seen == sorted(seen, reverse=True)  # killed early it is the old level, killed late the new one
    assert set(seen) == {1.0, 0.5}
    assert leftovers(tmp_path) == []


def die_before_call(calls: int) -> None:
    """In a child: SIGKILL comes before the call of the file system that follows ``calls`` others."""
    remaining = [calls]

    def dying(real: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object, **kwargs: object) -> object:
            if remaining[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            remaining[0] -= 1
            return real(*args, **kwargs)

        return call

    for name in ("open", "write", "fsync", "close", "replace", "unlink", "scandir", "mkdir"):
        setattr(os, name, dying(getattr(os, name)))


@pytest.mark.parametrize("call", ["open", "write", "fsync", "replace"])
@pytest.mark.parametrize("there_before", [True, False])
def test_a_full_disk_keeps_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, there_before: bool
) -> None:
    store = BaselineStore(tmp_path)
    if there_before:
        apply(plan_refresh(store, Refresh(make_runs(1.0))))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.json")}
    plan = plan_refresh(store, Refresh(make_runs(0.5)))
    real = getattr(os, call)

    def full(*args: object, **kwargs: object) -> object:
        if call == "open" and not (isinstance(args[1], int) and args[1] & os.O_CREAT):
            return real(*args, **kwargs)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, call, full)
        with pytest.raises(UserError) as caught:
            apply(plan)
    sentence = str(caught.value)
    assert sentence.startswith(str(tmp_path / "gaudi2" / "synapse-1.22.0.json"))
    assert "No space left on device" in sentence
    assert "free some space" in sentence
    assert ("the old file is kept whole" if there_before else "nothing was written") in sentence
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    apply(plan)
    assert levels(tmp_path) == {ONE: 0.5}


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB; only root can have one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a small file system needs root")
    try:
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_really_full_disk_keeps_the_old_files(tiny_disk: Path) -> None:
    store, results = BaselineStore(tiny_disk / "baselines"), ResultsStore(tiny_disk / "results")
    apply(plan_refresh(store, Refresh(make_runs(1.0))))
    before = {path: path.read_bytes() for path in tiny_disk.rglob("*") if path.is_file()}
    many = [make_run([0.123456789] * 2000) for _ in range(5)]
    with pytest.raises(UserError, match=r"synapse-1.22.0.json: cannot be written \(No space left.*kept whole: free"):
        apply(plan_refresh(store, Refresh(many)))
    with pytest.raises(UserError, match=r"run-.*json: cannot be written \(No space left.*nothing was written: free"):
        for _ in range(10):
            results.write_run(make_run([0.123456789] * 2000))
    assert read_runs(results.directory).problems == ()
    after = {
        path: path.read_bytes() for path in tiny_disk.rglob("*") if path.is_file() and path.parent.name == "gaudi2"
    }
    assert after == before
    assert not [path for path in tiny_disk.rglob(".gaudi-perf-*")]


def as_nobody(code: str) -> str:
    """Run Python as a user without rights, where this is root; what it prints."""
    drop = "import os\nif os.geteuid() == 0: os.setgid(65534); os.setuid(65534)\n"
    loaded = "from tests.stores.factories import make_run, make_runs\nfrom gaudi_perf.stores.refresh import *\n"
    loaded += "from gaudi_perf.stores.results import ResultsStore\n"
    done = subprocess.run(
        [sys.executable, "-c", loaded + drop + code], cwd=ROOT, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def read_only() -> Iterator[Path]:
    # Not in pytest's directory for temporary files, which every other session of pytest makes private again.
    with tempfile.TemporaryDirectory() as place:
        directory = Path(place)
        apply(plan_refresh(BaselineStore(directory), Refresh(make_runs(1.0))))
        for path in (directory / "gaudi2", directory):
            path.chmod(0o555)
        yield directory
        for path in (directory / "gaudi2", directory):
            path.chmod(0o755)


CATCH = """
from gaudi_perf.vocabulary.errors import UserError
try:
    {statement}
except UserError as error:
    print(error)
"""


@pytest.mark.parametrize("device", ["gaudi2", "gaudi3"])
def test_a_read_only_directory_is_one_sentence(read_only: Path, device: str) -> None:
    before = {path: path.read_bytes() for path in read_only.rglob("*") if path.is_file()}
    statement = f"apply(plan_refresh(BaselineStore({str(read_only)!r}), Refresh(make_runs(0.5, device={device!r}))))"
    printed = as_nobody(CATCH.format(statement=statement))
    assert printed.startswith(str(read_only / device))
    assert "(Permission denied)" in printed
    assert "make the directory writable for this user" in printed
    assert {path: path.read_bytes() for path in read_only.rglob("*") if path.is_file()} == before


def test_a_read_only_results_directory_is_one_sentence(read_only: Path) -> None:
    printed = as_nobody(CATCH.format(statement=f"ResultsStore({str(read_only)!r}).write_run(make_run())"))
    assert printed.startswith(f"{read_only / 'session-1'}: cannot be created (Permission denied); nothing was written")


def test_a_lock_that_is_held_is_waited_for_and_then_told(tmp_path: Path) -> None:
    with files.exclusive(tmp_path):
        started = time.monotonic()
        told = pytest.raises(UserError, match=r"another process has been writing here for 0.2 seconds")
        with told, files.exclusive(tmp_path, seconds=0.2):
            pass
        assert time.monotonic() - started >= 0.2
    with files.exclusive(tmp_path, seconds=0):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_file_system_that_cannot_lock_directories_gets_a_lock_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = fcntl.flock

    def flock(descriptor: int, operation: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        real(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", flock)
    with files.exclusive(tmp_path):
        assert [path.name for path in tmp_path.iterdir()] == [".lock"]
        with pytest.raises(UserError, match="another process"), files.exclusive(tmp_path, seconds=0.05):
            pass
    assert BaselineStore(tmp_path).list() == []


def test_the_mode_of_a_new_file_is_what_the_umask_gives(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        files.write_atomic(tmp_path / "a.json", b"1")
        files.write_new(tmp_path / "b.json", b"1")
    finally:
        os.umask(old)
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("a.json", "b.json")] == [0o640, 0o640]


def test_a_symbolic_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "real.json").write_bytes(b"old")
    (tmp_path / "link.json").symlink_to(tmp_path / "there" / "real.json")
    files.write_atomic(tmp_path / "link.json", b"new")
    assert (tmp_path / "link.json").is_symlink()
    assert (tmp_path / "there" / "real.json").read_bytes() == b"new"


def test_what_is_no_file_is_written_to_and_stays(tmp_path: Path) -> None:
    """``--html /dev/null`` as root must not put a file in the place of the system's device."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        files.write_atomic(pipe, b"page")
        assert os.read(reader, 100) == b"page" and stat.S_ISFIFO(pipe.stat().st_mode)
    finally:
        os.close(reader)
    assert list(tmp_path.iterdir()) == [pipe]
