"""One generation over two network namespaces of this machine, each with its own address and sshd."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gaudi_perf.workers.controller.processes import alive, descendants, marked
from tests.ranks.conftest import ROOT
from tests.ranks.test_faults import GONE_WITHIN
from tests.ranks.two_hosts import TwoHosts, run

CONTROLLER = """
import json, sys
from pathlib import Path
from gaudi_perf.accelerators import accelerator_named
from gaudi_perf.workers.controller.group import WorkerGroup
from gaudi_perf.workers.controller.hosts import Host, Hosts
from gaudi_perf.workers.controller.plan import Deadlines
from gaudi_perf.protocol import GroupSpec, Prepare, Prepared, Rounds, RoundsDone, Variant
spec = GroupSpec(engine="cpu", model="bloomz7b", devices=2, scale="standin", dtype="float32")
hosts = Hosts(tuple(Host(name, 1) for name in sys.argv[2:4]))
group = WorkerGroup(spec, accelerator_named("cpu", processes=2), Path(sys.argv[1]), Deadlines(), hosts=hosts)
try:
    group.start()
    loaded = group.load()
    variant = Variant(graphs=False, kv_cache=True, new_tokens=int(sys.argv[4]))
    group.ask(Prepare(variant=variant), Prepared, phase="prepare")
    done = group.ask(Rounds(count=1), RoundsDone, phase="rounds")
    print("RESULT " + json.dumps({"tokens": done.token_ids, "prompt": loaded.prompt_ids}), flush=True)
    sys.stdin.readline()
except BaseException as error:
    print(error, getattr(error, "log", ""))
    raise
finally:
    group.close()
"""


def _started(
    two_hosts: TwoHosts, program: str, place: Path, more: Sequence[str], **variables: str
) -> subprocess.Popen[str]:
    """A program on the first host, given a place for its group and both addresses."""
    added = {"PDSH_SSH_ARGS_APPEND": two_hosts.ssh, "OMP_NUM_THREADS": "1", **variables}
    return subprocess.Popen(
        [*two_hosts.on(two_hosts.names[0]), sys.executable, "-c", program, str(place), *two_hosts.names, *more],
        cwd=ROOT, env={**os.environ, **added}, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def _wait_for(begin: str, controller: subprocess.Popen[str]) -> str:
    """The rest of the line that begins like this, once the controller says it."""
    assert controller.stdout is not None
    said = []
    for line in controller.stdout:
        said.append(line)
        if line.startswith(begin):
            return line.removeprefix(begin)
    raise AssertionError("".join(said))


def test_one_generation_over_two_hosts(two_hosts: TwoHosts, tmp_path: Path) -> None:
    from gaudi_perf.generation.dummy import dummy_model
    from gaudi_perf.vocabulary.models import shipped_model
    from tests.ranks.test_tokens import NEW_TOKENS, expected

    controller = _started(two_hosts, CONTROLLER, tmp_path / "g", [str(NEW_TOKENS)], PYTHONPATH=str(ROOT))
    found = json.loads(_wait_for("RESULT ", controller))
    ranks = [each.pid for each in marked(str(tmp_path / "g")) if "gaudi_perf.workers.rank.rank" in each.cmdline()]
    assert len(ranks) == 2 == len({os.readlink(f"/proc/{rank}/ns/net") for rank in ranks}), "in networks of their own"
    controller.communicate("\n", timeout=100)
    assert found["tokens"] == expected(dummy_model(shipped_model("bloomz7b").standin, "float32"), found["prompt"])
    assert alive(marked(str(tmp_path / "g"))) == []


SCRIPTED = """
import json, sys
from pathlib import Path
from gaudi_perf.accelerators import accelerator_named
from gaudi_perf.workers.controller.group import GroupFailure, WorkerGroup
from gaudi_perf.workers.controller.hosts import Host, Hosts
from gaudi_perf.workers.controller.plan import Deadlines
from gaudi_perf.protocol import GroupSpec, Prepare, Prepared, Rounds, RoundsDone, Variant
spec = GroupSpec(engine="cpu", model="bloomz7b", devices=2, scale="standin", dtype="float32")
hosts = Hosts(tuple(Host(name, 1) for name in sys.argv[2:4]), launcher=sys.argv[5])
deadlines = Deadlines(round=float(sys.argv[4]), host=float(sys.argv[6]))
group = WorkerGroup(spec, accelerator_named("cpu", processes=2), Path(sys.argv[1]), deadlines, hosts=hosts)
try:
    group.start()
    group.load()
    group.ask(Prepare(variant=Variant(graphs=False, kv_cache=True, new_tokens=4)), Prepared, phase="prepare")
    print("READY", flush=True)
    while True:
        group.ask(Rounds(count=1), RoundsDone, phase="rounds")
except GroupFailure as failure:
    print("FAILED " + failure.sentence, flush=True)
finally:
    group.close()
"""


def _scripted(
    two_hosts: TwoHosts,
    place: Path,
    round_deadline: float = 100.0,
    launcher: str = "pdsh",
    silence: float = 60.0,
    **fault: Any,
) -> subprocess.Popen[str]:
    injected = json.dumps({"engine": "scripted", **({"fault": fault} if fault else {})})
    path = os.pathsep.join([str(ROOT / "tests" / "injected"), str(ROOT)])
    added = {"GAUDI_PERF_INJECTED": injected, "PYTHONPATH": path}
    ssh = ("OMPI_MCA_plm_rsh_args", "HYDRA_LAUNCHER_EXTRA_ARGS", "I_MPI_HYDRA_BOOTSTRAP_EXEC_EXTRA_ARGS")
    as_root = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    words = [str(round_deadline), launcher, str(silence)]
    return _started(two_hosts, SCRIPTED, place, words, **added, **as_root, **dict.fromkeys(ssh, two_hosts.ssh))


def test_a_rank_that_hangs_on_another_host_is_named(two_hosts: TwoHosts, tmp_path: Path) -> None:
    place = tmp_path / "g"
    controller = _scripted(two_hosts, place, 4.0, kind="hang", phase="generate", after=2, rank=1)
    output, _ = controller.communicate(timeout=200)
    assert "FAILED the group of 2 ranks gave no answer in rounds within 4 s, and was ended: rank 1 (proc" in output
    assert f" on {two_hosts.names[1]}) did not come to where the others wait for it" in output
    assert "injected_engine.py" in output, "where it is"
    assert alive(marked(str(place))) == []


def test_a_host_that_is_gone_is_named(two_hosts: TwoHosts, tmp_path: Path) -> None:
    controller = _scripted(two_hosts, tmp_path / "g", silence=3.0)
    _wait_for("READY", controller)
    run("ip", "-n", two_hosts.names[1], "link", "set", "gp1", "down")
    output, _ = controller.communicate(timeout=300)
    assert "FAILED nothing was heard of rank 1 (process" in output, output
    assert f"for 3 s in rounds: is host {two_hosts.names[1]} up, and its network?" in output
    here = f"/proc/{two_hosts.first_processes[two_hosts.names[0]]}/ns/net"
    left = alive(marked(str(tmp_path / "g")))
    assert [each for each in left if os.path.samefile(f"/proc/{each.pid}/ns/net", here)] == []


def test_when_pytest_is_killed_ranks_of_other_hosts_end(two_hosts: TwoHosts, tmp_path: Path, launcher: str) -> None:
    fault = {"kind": "hang", "phase": "generate", "after": 2, "rank": 1}
    controller = _scripted(two_hosts, tmp_path / "g", launcher=launcher, **fault)
    _wait_for("READY", controller)
    time.sleep(1)  # by then one rank hangs, and the other one waits for it
    left = marked(str(tmp_path / "g"))
    assert left
    for process in descendants(controller.pid):
        if process.ppid() == controller.pid:  # which is nsenter
            process.kill()
    controller.wait()
    until = time.monotonic() + GONE_WITHIN
    while alive([*left, *marked(str(tmp_path / "g"))]) and time.monotonic() < until:
        time.sleep(0.1)
    assert alive([*left, *marked(str(tmp_path / "g"))]) == []


def test_a_lost_rank_of_another_host_is_named(two_hosts: TwoHosts, tmp_path: Path, launcher: str) -> None:
    place = tmp_path / "g"
    controller = _scripted(two_hosts, place, launcher=launcher, kind="kill", phase="generate", after=3, rank=1)
    output, _ = controller.communicate(timeout=200)
    assert "READY" in output, output
    named = rf"FAILED rank 1 \(process \d+ on {two_hosts.names[1]}\) was killed by SIGKILL .* in rounds"
    assert re.search(named, output), output
    assert alive(marked(str(place))) == []
    until = time.monotonic() + 30
    while (left := _left_by_open_mpi(two_hosts)) and time.monotonic() < until:  # the other host's daemon clears up
        time.sleep(0.2)
    assert left == []


def _left_by_open_mpi(two_hosts: TwoHosts) -> list[Path]:
    """What Open MPI keeps in the directory for temporary files, beside what goes with the group's directory."""
    return [path for name in two_hosts.names for path in Path(tempfile.gettempdir()).glob(f"ompi.{name}*")]
