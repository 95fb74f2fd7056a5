"""Several hosts: hostfiles, what is handed on, and mistakes that are found before anything is loaded."""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from socket import AF_INET, SO_REUSEADDR, SOL_SOCKET, socket
from types import SimpleNamespace

import psutil
import pytest

from gaudi_perf.accelerators.base import Found
from gaudi_perf.protocol import HANDED_ON, MARK, HandedOn
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.workers.controller import deepspeed_launcher
from gaudi_perf.workers.controller.deepspeed_launcher import file_for, handed_on, of_the_runner, require_kept
from gaudi_perf.workers.controller.group import GroupFailure
from gaudi_perf.workers.controller.hosts import Host, Hosts, found_on, read_hostfile
from gaudi_perf.workers.controller.launch import Launch
from gaudi_perf.workers.rank.agent import place_in
from tests.ranks.conftest import ROOT, MakeGroup


def test_a_hostfile_in_deepspeed_s_format(tmp_path: Path) -> None:
    file = tmp_path / "hostfile"
    file.write_text("# two servers\nworker-0 slots=8\n\n10.0.0.2 slots=4\n")
    hosts = Hosts(read_hostfile(file))
    assert hosts.hosts == (Host("worker-0", 8), Host("10.0.0.2", 4)) and hosts.devices == 12
    assert hosts.for_devices(8) == (Host("worker-0", 8),)
    assert hosts.for_devices(10) == (Host("worker-0", 8), Host("10.0.0.2", 2))
    assert found_on(hosts, Found(name="gaudi2", count=8)) == Found(name="gaudi2", count=12)
    assert found_on(hosts, None) is None


def test_a_hostfile_may_name_the_user_and_open_mpi_s_most_slots(tmp_path: Path) -> None:
    file = tmp_path / "hostfile"
    file.write_text("root@10.0.0.1 slots=8 max_slots=8 # the first\nworker-1 slots=4 max_slots=8\n")
    first, second = read_hostfile(file)
    assert first == Host("root@10.0.0.1", 8) and first.address == "10.0.0.1"
    assert second == Host("worker-1", 4) and second.address == "worker-1"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a slots=1\nroot@a slots=2", "line 2: a stands there twice"),
        ("@a slots=1", "is not like"),
        ("-oProxyCommand=x@a slots=1", "is not like"),
        ("a slots=1 max_slots=", "is not like"),
        ("worker-0", "line 1: 'worker-0' is not like"),
        ("a slots=1\na slots=2", "line 2: a stands there twice"),
        ("-oProxyCommand=x slots=1", "is not like"),
        ("a;b slots=1", "is not like"),
        ("a slots=0", "is not like"),
        ("# none\n", "names no host"),
    ],
)
def test_a_hostfile_that_is_wrong_is_one_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    file = tmp_path / "hostfile"
    file.write_text(text)
    with pytest.raises(UserError, match="--hostfile") as error:
        read_hostfile(file)
    assert sentence in str(error.value)


@pytest.mark.parametrize(
    ("variables", "place"),
    [
        ({"RANK": "3", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_SIZE": "2"}, (3, 8, 1, 2)),
        ({"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_LOCAL_RANK": "0"}, (1, 2, 0, 1)),
        (
            {"SLURM_PROCID": "9", "SLURM_NTASKS": "16", "SLURM_LOCALID": "1", "SLURM_NTASKS_PER_NODE": "8"},
            (9, 16, 1, 8),
        ),
    ],
)
def test_each_launcher_gives_a_rank_its_place(variables: dict[str, str], place: tuple[int, ...]) -> None:
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_SIZE")
    assert place_in(variables) == dict(zip(names, map(str, place), strict=True))


def test_what_is_handed_on_to_other_hosts_is_no_secret() -> None:
    read = dict.fromkeys(("PT_HPU_LAZY_MODE", "HF_HOME", "TOKENIZERS_PARALLELISM", "PYTHONHASHSEED"), "1")
    secret = dict.fromkeys(("HF_TOKEN", "HF_HUB_API_KEY", "PYTHON_KEYRING_TOKEN"), "hidden")
    assert handed_on({**read, **secret, "AWS_REGION": "1"}).variables == read, "only what the stacks read, no secret"
    public = {"PYTHONPATH": "/suite", "HOME": "/", "MV2_X": "1"}
    private = {"MLFLOW_TRACKING_PASSWORD": "hidden", "PYTHON_KEYRING_TOKEN": "hidden"}
    assert of_the_runner({**public, **private}) == public, "DeepSpeed would write them into a command"
    assert set(HandedOn.decode(handed_on({**public, **private}).encode()).variables) == {"PYTHONPATH"}


ODD = "a,b c='d';\n$(touch oops) `id` \"e\" %h \\ é"
"""What no shell and no launcher leaves as it is."""
LAUNCHED = "import os, sys; sys.path[:0] = sys.argv[1:]; "
LAUNCHED += "from gaudi_perf.protocol import HANDED_ON, HandedOn; "
LAUNCHED += "print(repr(HandedOn.decode(os.environ[HANDED_ON]).variables['PT_ODD']))"


def _by_pdsh(exports: list[str]) -> list[str]:
    exported = "".join(f"export {each}; " for each in exports)
    return ["sh", "-c", f"{exported} exec {shlex.join([sys.executable, '-c', LAUNCHED, str(ROOT)])}"]


def _by_mpi(exports: list[str]) -> list[str]:
    return ["env", *exports, sys.executable, "-c", LAUNCHED, str(ROOT)]


def _by_slurm(exports: list[str]) -> list[str]:
    return _by_mpi(",".join(exports).split(","))


@pytest.mark.parametrize("launched", [_by_pdsh, _by_mpi, _by_slurm])
def test_any_value_comes_to_other_hosts_as_it_is(tmp_path: Path, launched: Callable[[list[str]], list[str]]) -> None:
    """Each passes on what DeepSpeed makes of the file as that launcher does, and its rank reads it."""
    deepspeed = pytest.importorskip("deepspeed.launcher.multinode_runner")

    class Runner(deepspeed.MultiNodeRunner):  # type: ignore[misc, name-defined]  # DeepSpeed has no types
        backend_exists = get_cmd = parse_user_args = lambda *_: None

    runner = Runner(argparse.Namespace(user_script="", user_args=[]), "")
    for line in file_for({"PT_ODD": ODD, MARK: "/tmp/g", "DS_ACCELERATOR": "cpu"}).splitlines(keepends=True):
        runner.add_export(*line.split("=", maxsplit=1))  # as its main() does
    words = launched([f"{name}={value}" for name, value in runner.exports.items()])
    done = subprocess.run(words, cwd=tmp_path, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True)
    assert done.stdout == f"{ODD!r}\n", done.stderr
    assert list(tmp_path.iterdir()) == [], "nothing was run"


def test_bytes_that_are_no_text_are_handed_on_too() -> None:
    variables = {"PT_ODD": os.fsdecode(b"\xff")}
    assert HandedOn.decode(HandedOn(variables=variables).encode()).variables == variables


@pytest.mark.parametrize(("launched_on", "count"), [("first", 2), ("another", 3)])
def test_the_first_host_shows_the_gpus_that_pytest_was_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, launched_on: str, count: int
) -> None:
    """A rank as DeepSpeed's launcher starts it, which counts GPUs from 0: it counts those that there are for it."""
    program = tmp_path / "nvidia-smi"
    rows = "\n".join(f"{index}, GPU-{index}{index}, NVIDIA H100 80GB HBM3, 81559" for index in range(4))
    program.write_text(f"#!/bin/sh\ncat <<'END'\n{rows}\nEND\n")
    program.chmod(0o755)
    if launched_on == "another":
        monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(nodename="the-first"))
    value = handed_on({"CUDA_VISIBLE_DEVICES": "2,3", "PYTHONPATH": str(ROOT)}).encode()
    place = {"RANK": "0", "WORLD_SIZE": "6", "LOCAL_RANK": "0", "LOCAL_SIZE": "4"}
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    words = ["--engine", "cuda", "--socket", str(program), "--meeting", "tcp://192.0.2.1:1"]
    done = subprocess.run(
        [sys.executable, "-m", "gaudi_perf.workers.rank.agent", *words],
        cwd=ROOT,
        env={**place, "PATH": path, HANDED_ON: value, "CUDA_VISIBLE_DEVICES": "0,1,2"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert f"has {count} cuda devices, and is asked for 4" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("launcher", "name", "value", "kept"),
    [
        ("slurm", "PYTHONPATH", "/a,b", False),
        ("pdsh", "PYTHONPATH", "/a,b", True),
        ("openmpi", "LD_LIBRARY_PATH", "/a b", False),
        ("pdsh", "LD_LIBRARY_PATH", "/a b", True),
        ("pdsh", "PYTHONPATH", "/a%h", False),
        ("pdsh", "MV2_X", "$(reboot)", False),
        ("mpich", "PYTHONPATH", "/a\nb", False),
        ("slurm", "UCX_NET_DEVICES", "mlx5_0:1,mlx5_1:1", True),
    ],
)
def test_what_a_launcher_would_change_is_refused_in_a_sentence(
    launcher: str, name: str, value: str, kept: bool
) -> None:
    def check() -> None:
        require_kept({name: value}, {}, launcher)

    if kept:
        return check()
    with pytest.raises(UserError, match=f"--launcher {launcher}: the environment variable {name} has the value"):
        check()


def test_a_path_that_a_shell_would_cut_is_refused_in_a_sentence() -> None:
    with pytest.raises(UserError, match=r"--launcher pdsh: the working directory, '/a b', would not come to other ho"):
        require_kept({}, {"the working directory": "/a b"}, "pdsh")


def test_a_host_with_fewer_devices_than_its_slots_is_told_before_anything_is_loaded(make_group: MakeGroup) -> None:
    hosts = Hosts((Host("localhost", 9),))
    group = make_group(9, "emulated-gaudi2", hosts=hosts)
    with pytest.raises(GroupFailure, match=r"host \S+ has 8 emulated-gaudi2 devices, and is asked for 9") as failure:
        group.start()
        group.load()
    assert failure.value.mistake


@pytest.mark.parametrize("devices", [1, 2])
def test_one_host_that_is_not_this_machine_is_told_too(make_group: MakeGroup, devices: int) -> None:
    hosts = Hosts((Host("192.0.2.1", 8),))
    with pytest.raises(UserError, match=r"has the address 192\.0\.2\.1, which is not this machine's"):
        make_group(devices, hosts=hosts).start()


def test_nobody_can_take_the_port_at_which_ranks_of_several_hosts_meet(tmp_path: Path) -> None:
    if shutil.which("pdsh") is None:
        pytest.skip("pdsh is not installed")
    addresses = [each.address for some in psutil.net_if_addrs().values() for each in some if each.family == AF_INET]
    own = next((address for address in addresses if not address.startswith("127.")), None)
    if own is None:
        pytest.skip("this machine has no address but the loopback's")
    hosts = Hosts((Host(own, 1), Host("198.51.100.2", 1)))
    command, _, meeting = deepspeed_launcher.prepare(hosts.hosts, hosts.launcher, Launch(), [], {}, tmp_path)
    with meeting, socket() as other:
        host, port = meeting.getsockname()
        assert f"tcp://{own}:{port}" in command and host == own
        other.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
        with pytest.raises(OSError, match="in use"):
            other.bind((own, port))
    with socket() as other:
        other.bind((own, port))


def test_an_address_that_other_hosts_cannot_reach_is_told(make_group: MakeGroup) -> None:
    if shutil.which("pdsh") is None:
        pytest.skip("pdsh is not installed")
    hosts = Hosts((Host("localhost", 1), Host("192.0.2.2", 1)))
    with pytest.raises(UserError, match=r"localhost, has the address 127\.0\.0\.1 here, at which other hosts find"):
        make_group(2, hosts=hosts).start()


def test_a_first_host_that_is_not_this_machine_is_told(make_group: MakeGroup) -> None:
    if shutil.which("pdsh") is None:
        pytest.skip("pdsh is not installed")
    hosts = Hosts((Host("192.0.2.1", 1), Host("192.0.2.2", 1)))  # addresses for documentation: RFC 5737
    with pytest.raises(UserError, match=r"has the address 192\.0\.2\.1, which is not this machine's"):
        make_group(2, hosts=hosts).start()
