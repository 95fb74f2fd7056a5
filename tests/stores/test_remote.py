"""Results and baselines at an address, on servers that really run: sshd of this machine, and moto's S3."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from gaudi_perf.stores import remote
from gaudi_perf.stores.baselines import BaselineStore
from gaudi_perf.stores.history import read_history
from gaudi_perf.stores.notes import NotesStore
from gaudi_perf.stores.refresh import Refresh, apply, plan_refresh
from gaudi_perf.stores.results import ResultsStore
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.note import Note
from tests.stores.factories import make_run, make_runs

SFTP_SERVERS = ("/usr/lib/openssh/sftp-server", "/usr/libexec/openssh/sftp-server", "/usr/lib/ssh/sftp-server")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _until_open(port: int, server: subprocess.Popen[bytes]) -> None:
    for _ in range(2400):  # two minutes: on a busy machine moto's server takes a while to start
        assert server.poll() is None, "the server has ended"
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError("the server does not listen")


class Relay:
    """The way to a server: it breaks once so many bytes have gone through it, until it is mended.

    Attributes:
        left: how many bytes it takes until it breaks.
    """

    def __init__(self, to: int) -> None:
        self._to, self.left, self._lock = to, sys.maxsize, threading.Lock()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def break_after(self, count: int) -> None:
        """Let so many bytes more through."""
        with self._lock:  # what passes at this moment counts down, too
            self.left = count

    def end(self) -> None:
        self._listening.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
                server = socket.create_connection(("127.0.0.1", self._to))
            except ConnectionError:
                client.close()
                continue
            except OSError:  # closed
                return
            for ends in ((client, server), (server, client)):
                threading.Thread(target=self._pass_on, args=ends, daemon=True).start()

    def _pass_on(self, source: socket.socket, to: socket.socket) -> None:
        try:
            while self.left > 0 and (some := source.recv(min(self.left, 4096))):
                with self._lock:
                    self.left -= len(some)
                to.sendall(some)
        except OSError:
            pass
        for end in (source, to):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue


class Server:
    """A server with an empty place.

    Attributes:
        address: the place.
        relay: the way to it.
    """

    def __init__(self, address: str, command: list[str], port: int, relay: Relay) -> None:
        self.address, self.relay = address, relay
        self._command, self._port = command, port
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            _until_open(self._port, self._process)
        except AssertionError:
            self._process.kill()
            raise

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(60)


@pytest.fixture(params=["sftp", "s3"])
def server(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    port = _free_port()
    relay = Relay(port)
    make = {"sftp": _sftp, "s3": _s3}[request.param]
    made = make(tmp_path, port, relay, monkeypatch)
    yield made
    made.stop()
    relay.end()


def _sftp(folder: Path, port: int, relay: Relay, monkeypatch: pytest.MonkeyPatch) -> Server:
    pytest.importorskip("paramiko")
    sshd, subsystem = shutil.which("sshd", path="/usr/sbin:/usr/bin"), next(filter(os.path.exists, SFTP_SERVERS), None)
    if sshd is None or subsystem is None:
        pytest.skip("sshd is not installed")
    home = folder / "home"
    (home / ".ssh").mkdir(parents=True)
    for path in (folder / "host", home / ".ssh/id_ed25519"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    options = {
        "ListenAddress": "127.0.0.1", "Port": port, "HostKey": folder / "host", "UsePAM": "no", "PidFile": "none",
        "AuthorizedKeysFile": home / ".ssh/id_ed25519.pub", "StrictModes": "no", "PermitRootLogin": "prohibit-password",
        "Subsystem": f"sftp {subsystem}",
    }  # fmt: skip
    words = [word for option, value in options.items() for word in ("-o", f"{option}={value}")]
    monkeypatch.setenv("HOME", str(home))  # where the client's key is looked for
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    address = f"sftp://{getpass.getuser()}@127.0.0.1:{relay.port}{folder}/there/results"
    return Server(address, [sshd, "-D", "-f", "/dev/null", *words], port, relay)


def _s3(folder: Path, port: int, relay: Relay, monkeypatch: pytest.MonkeyPatch) -> Server:
    pytest.importorskip("s3fs")
    pytest.importorskip("moto")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "pretended")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{relay.port}")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")  # each attempt more waits longer
    made = Server("s3://fleet/results", [sys.executable, "-m", "moto.server", "-p", str(port)], port, relay)
    bucket = urllib.request.Request(f"http://127.0.0.1:{port}/fleet", method="PUT")
    with urllib.request.urlopen(bucket, timeout=120):
        pass
    return made


class Fleet:
    """Machines, each with a copy of its own."""

    def __init__(self, server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self._server, self._monkeypatch = server, monkeypatch

    def open(self, machine: str, place: str = "") -> Path:
        self._monkeypatch.setenv(remote.CACHE_VARIABLE, str(self.folder / machine))
        return remote.opened(self._server.address + place)


@pytest.fixture
def fleet(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fleet:
    return Fleet(server, tmp_path / "machines", monkeypatch)


def test_many_servers_write_and_each_reads_all(fleet: Fleet, server: Server) -> None:
    stores = [ResultsStore(fleet.open(machine)) for machine in ("a", "b", "c")]
    runs = {store: make_runs(session=f"night-{number}") for number, store in enumerate(stores)}
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda one: [one.write_run(run) for run in runs[one]], stores))
    first = read_history(fleet.open("reader"))
    assert len(first.runs) == 15 and first.problems == ()
    seen = {path: path.stat().st_ino for path in fleet.open("reader").rglob("run-*.json")}
    stores[0].write_run(make_run(session="night-0"))
    again = fleet.open("reader")
    assert len(read_history(again).runs) == 16
    assert {path: path.stat().st_ino for path in seen} == seen, "a run is fetched once"

    # A connection that breaks: the run stays here, and whoever opens the address next sends it.
    server.stop()
    stores[0].write_run(make_run(session="late"))
    unsent = stores[0].send_rest()
    assert "cannot be reached" in unsent and "is kept in" in unsent and len(unsent.splitlines()) == 1
    with pytest.raises(UserError, match="cannot be reached"):
        fleet.open("reader")
    if not server.address.startswith("s3:"):  # that server forgets everything when it ends
        server.start()
        fleet.open("a")
        assert len(read_history(fleet.open("reader")).runs) == 17


def test_a_connection_breaks_in_the_middle_of_a_run(fleet: Fleet, server: Server) -> None:
    """Nobody ever sees a part of a run: it is sent, or fetched, the next time."""
    run = make_run(session="long", token_ids=[12345] * 60_000)  # 400 kB
    store = ResultsStore(fleet.open("a"))
    server.relay.break_after(200_000)
    path = store.write_run(run)
    server.relay.break_after(sys.maxsize)
    assert read_history(fleet.open("b")).runs == (), "it breaks on the way there"
    fleet.open("a")
    server.relay.break_after(200_000)
    with pytest.raises(UserError, match="cannot be reached, or breaks off"):
        fleet.open("b")
    assert server.relay.left <= 0 and not list((tmp := fleet.folder / "b").rglob("run-*")), "and on the way back"
    server.relay.break_after(sys.maxsize)
    copy = fleet.open("b")
    assert (copy / path.relative_to(fleet.open("a"))).read_bytes() == path.read_bytes()
    assert not list(tmp.rglob(".fetched-*"))


def test_baselines_of_others_are_seen(fleet: Fleet) -> None:
    def store(machine: str, level: float) -> None:
        baselines = BaselineStore(fleet.open(machine, "/baselines"))
        apply(plan_refresh(baselines, Refresh(make_runs(level, session=f"of-{machine}"))))

    def level(machine: str) -> float:
        (place,) = (baselines := BaselineStore(fleet.open(machine, "/baselines"))).list()
        return baselines.load(place).cases[0].level_s

    store("a", 1.0)
    assert level("b") == 1.0
    store("b", 0.9)
    assert level("a") == level("c") == 0.9


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A store of objects in this process."""
    system = pytest.importorskip("fsspec.implementations.memory").MemoryFileSystem
    monkeypatch.setattr(system, "store", {})
    monkeypatch.setattr(system, "pseudo_dirs", [""])
    return system


def test_an_object_is_written_whole_under_its_own_name(
    memory: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stores of objects show a write when it is whole: another name first would be a copy of every byte more."""
    monkeypatch.setattr(memory, "mv", lambda *_: pytest.fail("renamed"), raising=False)
    monkeypatch.setenv(remote.CACHE_VARIABLE, str(tmp_path))
    copy = remote.opened("memory://bucket/results")
    path = ResultsStore(copy).write_run(make_run())
    assert list(memory.store) == [f"/bucket/results/{path.relative_to(copy)}"]


def test_a_note_is_sent_and_not_lost(memory: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not at the address when it is opened the next time is removed here."""
    monkeypatch.setenv(remote.CACHE_VARIABLE, str(tmp_path))
    note = Note(case="bloomz7b-1x-graphs-kvcache", text="new firmware", added_at="2026-01-31T12:00:00Z")
    NotesStore(remote.opened("memory://bucket/results")).add(note)
    notes = NotesStore(remote.opened("memory://bucket/results"))
    assert notes.list() == (note,)
    assert notes.remove(1) == note
    assert NotesStore(remote.opened("memory://bucket/results")).list() == ()


def test_an_object_that_comes_in_part_is_not_kept(memory: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """paramiko takes a connection that ends for the end of the file."""
    monkeypatch.setenv(remote.CACHE_VARIABLE, str(tmp_path))
    memory().pipe_file("/bucket/results/s/run-1.json", b"123456")

    def cut(files: Any, names: list[str], parts: list[str]) -> None:
        for name, part in zip(names, parts, strict=True):
            Path(part).write_bytes(files.cat_file(name)[:4])

    with monkeypatch.context() as patched:
        patched.setattr(memory, "get", cut)
        with pytest.raises(UserError, match=r"breaks off \(s/run-1.json has 4 of 6 bytes\): try again"):
            remote.opened("memory://bucket/results")
    assert not list(tmp_path.rglob("run-*"))
    assert (remote.opened("memory://bucket/results") / "s/run-1.json").read_bytes() == b"123456"


def test_many_objects_are_fetched_in_parts_and_large_ones_left_out(
    memory: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(remote.CACHE_VARIABLE, str(tmp_path))
    monkeypatch.setattr(remote, "_AT_ONCE", 2)
    monkeypatch.setattr(remote, "_LARGEST", 6)
    for name, content in (("a", b"1"), ("b", b"12345"), ("c", b"123456"), ("d", b"1234567"), ("e", b"1")):
        memory().pipe_file(f"/bucket/results/{name}.json", content)
    copy = remote.opened("memory://bucket/results")
    assert sorted(path.name for path in copy.glob("[a-z]*")) == ["a.json", "b.json", "c.json", "e.json"]


def test_copies_lie_in_the_user_s_cache(memory: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(remote.CACHE_VARIABLE, raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert remote.opened("memory://bucket/results").parent == tmp_path / ".cache/gaudi-perf/remote"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "own"))
    assert remote.opened("memory://bucket/results").parent == tmp_path / "own/gaudi-perf/remote"


@pytest.mark.parametrize("address", ["s3://", "s3://user:secret@host/x", "sftp://host/x?key=1", "s3://b/\n"])
def test_addresses_that_cannot_be_one(address: str) -> None:
    with pytest.raises((ValueError, UserError), match="address") as caught:
        remote.checked(address)
    assert "secret" not in str(caught.value)


def test_a_protocol_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(remote.CACHE_VARIABLE, str(tmp_path))
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(UserError, match=r"gs://bucket/results: .* pip install gcsfs"):
        remote.opened("gs://bucket/results")
    with pytest.raises(UserError, match="nothing://x/y"):
        remote.opened("nothing://x/y")
