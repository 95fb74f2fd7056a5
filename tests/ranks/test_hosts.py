"""Several hosts: hostfiles, what is handed on, and one generation over two network namespaces of this machine."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gaudi_perf.runtime.engines.base import Found
from gaudi_perf.runtime.group import GroupFailure
from gaudi_perf.runtime.hosts import Host, Hosts, found_on, read_hostfile
from gaudi_perf.runtime.keeper import place_in
from gaudi_perf.runtime.launchers.deepspeed import handed_on
from gaudi_perf.runtime.processes import alive, marked
from gaudi_perf.vocabulary.errors import UserError
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


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("worker-0", "line 1: 'worker-0' is not like"),
        ("a slots=1\na slots=2", "line 2: a stands there twice"),
        ("-oProxyCommand=x slots=1", "is not like"),
        ("a;b slots=1", "is not like"),
        ("a slots=0", "is not like"),
        ("# none\n", "names no host"),
    ],
)
def test_a_hostfile_that_is_wrong_is_one_sentence(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "hostfile"
    file.write_text(text)
    with pytest.raises(UserError, match="--hostfile") as error:
        read_hostfile(file)
    assert told in str(error.value)


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
def test_each_launcher_tells_a_rank_s_place(variables: dict[str, str], place: tuple[int, ...]) -> None:
    found = place_in(variables)
    assert (found.rank, found.ranks, found.local_rank, found.local_ranks) == place


def test_what_other_hosts_are_told_is_no_secret_and_nothing_for_a_shell() -> None:
    assert handed_on("PT_HPU_LAZY_MODE", "1") and handed_on("HF_HOME", "/data/hub")
    assert not handed_on("HF_TOKEN", "hf_x") and not handed_on("HF_HUB_API_KEY", "x")
    assert not handed_on("PT_HPU_X", "$(reboot)") and not handed_on("PT_HPU_X", "a`b`")
    assert not handed_on("AWS_REGION", "x"), "only what the stacks read"


def test_a_host_with_fewer_devices_than_its_slots_is_told_before_anything_is_loaded(make_group: MakeGroup) -> None:
    hosts = Hosts((Host("localhost", 9),))
    group = make_group(9, "emulated-gaudi2", hosts=hosts)
    with pytest.raises(GroupFailure, match=r"host \S+ has 8 emulated-gaudi2 devices, and is asked for 9") as failure:
        group.start()
        group.load()
    assert failure.value.mistake


def test_a_first_host_that_is_not_this_machine_is_told(make_group: MakeGroup) -> None:
    if shutil.which("pdsh") is None:
        pytest.skip("pdsh is not installed")
    hosts = Hosts((Host("192.0.2.1", 1), Host("192.0.2.2", 1)))  # addresses for documentation: RFC 5737
    with pytest.raises(UserError, match=r"has the address 192\.0\.2\.1, which is not this machine's"):
        make_group(2, hosts=hosts).start()


# ---- two namespaces


@dataclass(frozen=True)
class TwoHosts:
    names: tuple[str, str]
    addresses: tuple[str, str]
    ssh: str


def _run(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no network namespaces: {' '.join(words)}: {done.stderr.strip()[:200]}")


@pytest.fixture
def two_hosts(tmp_path: Path) -> Iterator[TwoHosts]:
    """Two network namespaces joined by a veth pair, each with an sshd that takes this test's key only."""
    sshd = shutil.which("sshd") or ("/usr/sbin/sshd" if os.path.exists("/usr/sbin/sshd") else None)
    missing = [name for name in ("ip", "ssh", "ssh-keygen", "pdsh") if shutil.which(name) is None]
    if sshd is None or missing:
        pytest.skip(f"not installed: {', '.join([*([] if sshd else ['sshd']), *missing])}")
    if os.getuid() != 0:
        pytest.skip("network namespaces need root")
    names = (f"gpa{os.getpid()}", f"gpb{os.getpid()}")
    addresses = ("10.231.77.1", "10.231.77.2")
    servers: list[subprocess.Popen[bytes]] = []
    try:
        for name in names:
            _run("ip", "netns", "add", name)
        _run("ip", "link", "add", "gp0", "netns", names[0], "type", "veth", "peer", "name", "gp1", "netns", names[1])
        for name, address, link in zip(names, addresses, ("gp0", "gp1"), strict=True):
            _run("ip", "-n", name, "addr", "add", f"{address}/24", "dev", link)
            _run("ip", "-n", name, "link", "set", link, "up")
            _run("ip", "-n", name, "link", "set", "lo", "up")
        for key in ("host", "user"):
            _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / key))
        Path("/run/sshd").mkdir(exist_ok=True)
        for name, address in zip(names, addresses, strict=True):
            options = {
                "ListenAddress": address, "Port": "2222", "HostKey": tmp_path / "host", "UsePAM": "no",
                "AuthorizedKeysFile": tmp_path / "user.pub", "PidFile": "none", "StrictModes": "no",
                "PermitRootLogin": "prohibit-password", "PasswordAuthentication": "no",
            }  # fmt: skip
            words = [word for option, value in options.items() for word in ("-o", f"{option}={value}")]
            servers.append(
                subprocess.Popen(
                    ["ip", "netns", "exec", name, sshd, "-D", "-f", "/dev/null", *words],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
            )
        told = ["-p 2222", f"-i {tmp_path / 'user'}", "-o StrictHostKeyChecking=no", "-o BatchMode=yes"]
        ssh = " ".join([*told, "-o UserKnownHostsFile=/dev/null", "-o IdentitiesOnly=yes", "-F /dev/null"])
        for address in addresses:
            _wait_for_ssh(names[0], ssh, address)
        yield TwoHosts(names, addresses, ssh)
    finally:
        for server in servers:
            server.terminate()
            server.wait()
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], capture_output=True)


def _wait_for_ssh(name: str, ssh: str, address: str) -> None:
    for _ in range(50):
        words = ["ip", "netns", "exec", name, "ssh", *ssh.split(), address, "true"]
        done = subprocess.run(words, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if done.returncode == 0:
            return
        time.sleep(0.2)
    pytest.skip(f"sshd takes no connection: {done.stderr.strip()[-200:]}")


CONTROLLER = """
import json, os, sys, time
from pathlib import Path
from gaudi_perf.runtime.engines import accelerator_named
from gaudi_perf.runtime.group import WorkerGroup
from gaudi_perf.runtime.hosts import Host, Hosts
from gaudi_perf.runtime.plan import Deadlines
from gaudi_perf.runtime.processes import marked
from gaudi_perf.runtime.protocol import GroupSpec, Prepare, Prepared, Rounds, RoundsDone, Variant
spec = GroupSpec(engine="cpu", model="bloomz7b", devices=2, scale="standin", dtype="float32")
hosts = Hosts(tuple(Host(name, 1) for name in sys.argv[2:4]))
group = WorkerGroup(spec, accelerator_named("cpu", processes=2), Path(sys.argv[1]), Deadlines(), hosts=hosts)
try:
    group.start()
    loaded = group.load()
    group.ask(Prepare(variant=Variant(graphs=False, kv_cache=True, new_tokens=24)), Prepared, phase="prepare")
    done = group.ask(Rounds(count=1), RoundsDone, phase="rounds")
    ranks = [p.pid for p in marked(sys.argv[1]) if "gaudi_perf.runtime.rank" in p.cmdline()]
    spaces = sorted({os.readlink(f"/proc/{pid}/ns/net") for pid in ranks})
    print("RESULT " + json.dumps({"tokens": done.token_ids, "ranks": len(ranks), "spaces": spaces,
                                  "prompt": loaded.prompt_ids}), flush=True)
    if len(sys.argv) > 4:
        time.sleep(600)
except BaseException as error:
    print(error, getattr(error, "log", ""))
    raise
finally:
    group.close()
"""


def _controller(two_hosts: TwoHosts, place: Path, *more: str) -> subprocess.Popen[str]:
    words = ["ip", "netns", "exec", two_hosts.names[0], sys.executable, "-c", CONTROLLER, str(place)]
    environment = {
        **os.environ, "PDSH_SSH_ARGS_APPEND": two_hosts.ssh, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    return subprocess.Popen(
        [*words, *two_hosts.addresses, *more],
        cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def test_one_generation_over_two_hosts(two_hosts: TwoHosts, tmp_path: Path) -> None:
    from gaudi_perf.runtime.generation.dummy import dummy_model
    from gaudi_perf.vocabulary.models import model_named
    from tests.ranks.test_tokens import expected

    output, _ = _controller(two_hosts, tmp_path / "g").communicate(timeout=300)
    results = [line for line in output.splitlines() if line.startswith("RESULT ")]
    assert results, output
    found = json.loads(results[0].removeprefix("RESULT "))
    assert found["ranks"] == 2 and len(found["spaces"]) == 2, "each in a network of its own"
    assert found["tokens"] == expected(dummy_model(model_named("bloomz7b").standin, "float32"), found["prompt"])
    assert alive(marked(str(tmp_path / "g"))) == []


def test_when_pytest_is_killed_ranks_of_other_hosts_end(two_hosts: TwoHosts, tmp_path: Path) -> None:
    controller = _controller(two_hosts, tmp_path / "g", "stay")
    assert controller.stdout is not None
    said = []
    for line in controller.stdout:
        said.append(line)
        if line.startswith("RESULT "):
            break
    assert said and said[-1].startswith("RESULT "), "".join(said)
    controller.kill()
    controller.wait()
    until = time.monotonic() + 5
    while alive(marked(str(tmp_path / "g"))) and time.monotonic() < until:
        time.sleep(0.1)
    assert alive(marked(str(tmp_path / "g"))) == []
