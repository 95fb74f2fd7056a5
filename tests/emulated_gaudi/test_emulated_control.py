"""The controller's side: environments, the build, hl-smi, faults that are set; and those that end a process."""

from __future__ import annotations

import importlib.metadata
import json
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulated_gaudi import hl_smi
from emulated_gaudi.build import BuildError, build, compiler
from emulated_gaudi.control import Fault, Faults, FaultsError, environment, set_faults
from emulated_gaudi.faults import Reader, read
from emulated_gaudi.monitor import Monitor, Process, Reading
from emulated_gaudi.settings import PRODUCTS, Settings, load
from gaudi_perf.accelerators import accelerator_named
from gaudi_perf.accelerators.base import Emulation
from gaudi_perf.accelerators.hpu.hl_smi import processes_in
from gaudi_perf.protocol import GroupSpec
from gaudi_perf.vocabulary.errors import UserError

from .conftest import INSIDE, Environment, run

REPOSITORY = Path(__file__).parents[2]


# ---------------------------------------------------------------- environment
def test_the_controller_needs_no_torch() -> None:
    code = "import sys, emulated_gaudi.control, emulated_gaudi.monitor; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY).returncode == 0


def test_the_plug_in_is_found_as_its_metadata(tmp_path: Path) -> None:
    env = {**os.environ, **environment(synapse="1.23.0", directory=tmp_path)}
    code = "from importlib.metadata import version; print(version('habana-torch-plugin'))"
    asked = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert asked.stdout.strip() == "1.23.0.695"
    listed = subprocess.run([sys.executable, "-m", "pip", "list"], env=env, capture_output=True, text=True)
    if "No module named pip" not in listed.stderr:
        assert [line.split() for line in listed.stdout.splitlines() if "habana-torch" in line] == [
            ["habana-torch-plugin", "1.23.0.695"]
        ]
    with pytest.raises(importlib.metadata.PackageNotFoundError):
        importlib.metadata.version("habana-torch-plugin")  # not in this process


def test_a_server_may_become_another_release(tmp_path: Path) -> None:
    environment(synapse="1.23.0", directory=tmp_path)
    env = environment(synapse="1.24.0", directory=tmp_path, memory_bytes=5, driver="1.20.1-abc")
    assert [p.name for p in (tmp_path / "lib").glob("*.dist-info")] == ["habana_torch_plugin-1.24.0.1007.dist-info"]
    settings = load(env["EMULATED_GAUDI_SETTINGS"])
    assert (settings.synapse, settings.memory_bytes, settings.driver) == ("1.24.0", 5, "1.20.1-abc")


@pytest.mark.usefixtures("device_library")
def test_a_stack_may_pretend_to_be_a_release_of_its_own(tmp_path: Path) -> None:
    accelerator = accelerator_named("emulated-gaudi2", Emulation(synapse="1.24.0"))
    group = GroupSpec(engine=accelerator.name, model="bloomz7b", devices=2, scale="standin", dtype="float32")
    for variables, synapse in (({"GAUDI_PERF_EMULATED_SYNAPSE": "1.22.0"}, "1.22.0"), ({}, "1.24.0")):
        pretended = accelerator.of_stack(variables).environment(group, tmp_path / synapse)
        assert load(pretended["EMULATED_GAUDI_SETTINGS"]).synapse == synapse
    with pytest.raises(UserError, match="three numbers"):
        accelerator.of_stack({"GAUDI_PERF_EMULATED_SYNAPSE": "newest"}).environment(group, tmp_path / "wrong")


def test_a_new_directory_is_private(tmp_path: Path) -> None:
    environment(directory=tmp_path / "server")
    assert stat.S_IMODE((tmp_path / "server").stat().st_mode) == 0o700


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"generation": "gaudi4"}, "no emulated 'gaudi4': use one of gaudi, gaudi2, gaudi3"),
        ({"devices": 0}, "1 to 8 devices, not 0"),
        ({"memory_bytes": -1}, "memory_bytes is -1"),
        ({"synapse": "1.24"}, "three numbers"),
    ],
)
def test_wrong_arguments_are_named(arguments: dict[str, object], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=sentence):
        environment(directory=tmp_path, **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(("synapse", "lazy"), [("1.19.0", True), ("1.20.0", True), ("1.21.0", False), ("2.0.0", False)])
def test_eager_became_the_default_with_1_21(synapse: str, lazy: bool, tmp_path: Path) -> None:
    assert load(environment(synapse=synapse, directory=tmp_path)["EMULATED_GAUDI_SETTINGS"]).lazy_by_default is lazy


def test_settings_that_cannot_be_read_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EMULATED_GAUDI_SETTINGS", raising=False)
    with pytest.raises(RuntimeError, match="EMULATED_GAUDI_SETTINGS is not set"):
        load()
    with pytest.raises(RuntimeError, match="cannot be read"):
        load(tmp_path / "none.json")


# ---------------------------------------------------------------- build
@pytest.fixture
def fake_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A compiler that takes a moment, counts its runs, and fails if there is a file `fail` beside it."""
    script = tmp_path / "cxx"
    script.write_text(
        f"""#!{sys.executable}
import pathlib, sys, time
here = pathlib.Path({str(tmp_path)!r})
time.sleep(0.2)
with open(here / "runs", "a") as runs:
    runs.write("x")
if (here / "fail").exists():
    sys.exit("error: this is the compiler's complaint")
pathlib.Path(sys.argv[sys.argv.index("-o") + 1]).write_text("compiled")
"""
    )
    script.chmod(0o755)
    monkeypatch.setenv("CXX", str(script))
    return tmp_path


def test_many_builders_compile_once(fake_compiler: Path) -> None:
    cache = fake_compiler / "cache"
    built: list[Path] = []
    builders = [threading.Thread(target=lambda: built.append(build(cache))) for _ in range(4)]
    for builder in builders:
        builder.start()
    for builder in builders:
        builder.join()
    assert len(set(built)) == 1 and built[0].read_text() == "compiled"
    assert (fake_compiler / "runs").read_text() == "x"
    assert not list(cache.glob("*.tmp"))


def test_a_failed_build_leaves_its_messages_and_no_library(fake_compiler: Path) -> None:
    (fake_compiler / "fail").touch()
    with pytest.raises(BuildError, match="could not compile") as raised:
        build(fake_compiler / "cache")
    log = Path(str(raised.value).rsplit(" ", 1)[-1].rstrip("."))
    assert "complaint" in log.read_text() and not list((fake_compiler / "cache").glob("*.so"))
    (fake_compiler / "fail").unlink()
    assert build(fake_compiler / "cache").exists()


def test_a_missing_compiler_is_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(
        BuildError, match=r"^The emulated Gaudi has to be compiled once, but there is no C\+\+ compiler"
    ):
        build(tmp_path / "cache")
    monkeypatch.setenv("CXX", "my-c++")
    with pytest.raises(BuildError, match="CXX names my-c"):
        compiler()


def test_an_unwritable_cache_is_named(fake_compiler: Path) -> None:
    (fake_compiler / "file").touch()
    with pytest.raises(BuildError, match="EMULATED_GAUDI_CACHE"):
        build(fake_compiler / "file" / "cache")


# ---------------------------------------------------------------- faults
VALUES = st.one_of(st.booleans(), st.integers(-(2**40), 2**40), st.text(max_size=5))
FAULTS = st.builds(
    Fault,
    when=st.dictionaries(st.text(max_size=5), VALUES, max_size=3),
    slower=st.floats(0, 10),
    noise=st.floats(0, 10),
    throttle=st.sampled_from(["none", "thermal", "power"]),
    after_operations=st.integers(1, 10**9),
    repeat=st.booleans(),
    crash=st.booleans(),
    hang=st.booleans(),
    out_of_memory=st.booleans(),
    compilations=st.integers(0, 9),
)


@given(st.lists(FAULTS, max_size=3), st.dictionaries(st.text(max_size=5), VALUES, max_size=3))
def test_what_is_set_is_what_is_read(
    tmp_path_factory: pytest.TempPathFactory, faults: list[Fault], labels: dict[str, bool | int | str]
) -> None:
    path = tmp_path_factory.getbasetemp() / "faults.json"
    set_faults(path, *faults, labels=dict(labels))
    assert read(path) == Faults(faults, dict(labels))


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("{", "truncated"),
        ('{"faults": [{"slower": "much"}]}', "faults"),
        ('{"faults": [{"slower": -0.1}]}', "at least 0"),
        ('{"faults": [{"after_operations": 0}]}', "at least 1"),
        ('{"faults": [{"throttle": "cosmic"}]}', "cosmic"),
        ('{"fault": []}', "fault"),
        ('{"faults": [{"when": {"\udcff": 1}}]}', "(?i)utf-8"),
        ('{"faults": [{"when": {"a": ' + "[" * 50_000, "recursion|invalid|str"),
    ],
)
def test_a_wrong_document_is_refused(text: str, named: str, tmp_path: Path) -> None:
    path = tmp_path / "faults.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(FaultsError, match=named) as raised:
        read(path)
    assert str(path) in str(raised.value)


def test_what_is_seen_goes_before_labels_and_the_unknown_does_not_match() -> None:
    fault = Fault(when={"graphs": True})
    assert Faults([fault], {"graphs": False}).matching(graphs=True) == [fault]
    assert Faults([fault]).matching() == []
    assert Faults([Fault()]).matching(anything=1) == [Fault()]


def test_a_reader_notices_every_change(tmp_path: Path) -> None:
    path = tmp_path / "faults.json"
    reader = Reader(path)
    assert not reader.refresh()
    set_faults(path, Fault(slower=0.1))
    assert reader.refresh() and reader.document.faults[0].slower == 0.1
    assert not reader.refresh()
    set_faults(path, Fault(slower=0.2))
    assert reader.refresh() and reader.document.faults[0].slower == 0.2
    path.unlink()
    assert reader.refresh() and reader.document == Faults()


# ---------------------------------------------------------------- hl-smi and the monitor
@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load(environment("gaudi3", devices=2, directory=tmp_path)["EMULATED_GAUDI_SETTINGS"])


def announce(settings: Settings, pid: int, module: int, memory: int) -> None:
    document = settings.processes_directory / f"{pid}.json"
    document.write_text(json.dumps({"pid": pid, "module": module, "name": "mine"}))
    document.with_suffix(".memory").write_bytes(memory.to_bytes(8, "little"))


def test_a_reader_reports_a_wrong_document_every_time(tmp_path: Path) -> None:
    path = tmp_path / "faults.json"
    path.write_text("{")
    reader = Reader(path)
    for _ in range(2):
        with pytest.raises(FaultsError):
            reader.refresh()
    set_faults(path, Fault(slower=0.1))
    assert reader.refresh() and reader.document.faults == [Fault(slower=0.1)]


def test_hl_smi_as_a_program(tmp_path: Path) -> None:
    env = {**os.environ, **environment("gaudi2", devices=2, directory=tmp_path)}
    kinds = "name,uuid,power.draw,temperature.aip,utilization.aip,memory.used,memory.total"
    out = subprocess.run(["hl-smi", "-Q", kinds, "-f", "csv"], env=env, capture_output=True, text=True)
    assert out.stdout.splitlines()[:2] == [  # the header of a real one, and the form of its values
        "name, uuid, power.draw [W], temperature.aip [C], utilization.aip [%], memory.used [MiB], memory.total [MiB]",
        "HL-225, 01P0-EMULATED-HL-225-00, 100 W, 30 C, 0 %, 0 MiB, 98304 MiB",
    ]
    bare = ["hl-smi", "-Q", "driver_version,index", "-f", "csv,noheader,nounits"]
    assert subprocess.run(bare, env=env, capture_output=True, text=True).stdout == (
        "1.24.0-emulated, 0\n1.24.0-emulated, 1\n"
    )
    unknown = subprocess.run(["hl-smi", "-Q", "nic", "-f", "csv"], env=env, capture_output=True, text=True)
    assert unknown.returncode == 1 and "not emulated" in unknown.stderr
    table = subprocess.run(["hl-smi"], env=env, capture_output=True, text=True).stdout.splitlines()
    # optimum-habana takes the driver from the third line: after the colon, up to the first hyphen.
    assert table[2].replace(" ", "").split(":")[1][:-1].split("-")[0] == "1.24.0"
    assert {len(line) for line in table} == {79}


def test_hl_smi_names_the_processes(settings: Settings) -> None:
    announce(settings, os.getpid(), 1, 3 * 1024**2)
    monitor = Monitor(settings)
    set_faults(Path(settings.directory) / "faults.json", Fault(when={"module": 0}, foreign_process="python train.py"))
    lines = hl_smi.table(settings, [monitor.read(0), monitor.read(1)]).splitlines()
    rows = [line.split() for line in lines if " C " in line and "MiB" in line]
    assert rows == [
        ["|", "0", "1", "C", "python", "train.py", "512MiB"],
        ["|", "1", str(os.getpid()), "C", "mine", "3MiB"],
    ]
    assert [process.name for process in processes_in("\n".join(lines))] == ["python train.py", "mine"]
    # A row of hl-smi 1.20 on a Gaudi 2, byte for byte.
    busy = Reading(0, 0, 0, 22, 96000, 1650, 0, (Process(107684, "python3", 16770 * 1024**2),))
    rest = Reading(1, 0, 0, 22, 96000, 1650, 0, ())
    assert hl_smi.table(settings, [busy, rest]).splitlines()[-3:-1] == [
        "|   0       107684     C   python3                                 16770MiB    ",
        "|   1        N/A   N/A    N/A                                      N/A        |",
    ]
    assert monitor.read(1).memory_used_bytes == 3 * 1024**2


def test_a_dead_process_is_not_on_the_device(settings: Settings) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    announce(settings, gone.pid, 0, 1)
    (settings.processes_directory / "1.json").write_text("{")  # half written
    assert Monitor(settings).read(0).processes == ()
    assert not (settings.processes_directory / f"{gone.pid}.json").exists()  # another process may get its number


@pytest.mark.parametrize("generation", list(PRODUCTS))
def test_readings_of_a_device_at_rest(generation: str, tmp_path: Path) -> None:
    settings = load(environment(generation, directory=tmp_path)["EMULATED_GAUDI_SETTINGS"])  # type: ignore[arg-type]
    reading = Monitor(settings).read(7)
    assert reading.clock_mhz == settings.product.clock_mhz and reading.throttle_reasons == 0
    assert 0 < reading.power_milliwatts < settings.product.power_limit_watts * 1000


# ---------------------------------------------------------------- faults that end a process
def test_a_crash_ends_the_process(server: Callable[..., Environment]) -> None:
    env = server({"PT_HPU_LAZY_MODE": "1"})
    set_faults(env["EMULATED_GAUDI_FAULTS"], Fault(crash=True, after_operations=20))
    done = run(["doomed.py"], env)
    assert done.stdout == "READY\n" and done.returncode == -signal.SIGABRT


def test_a_hang_never_ends_and_can_be_killed(server: Callable[..., Environment]) -> None:
    env = server({"PT_HPU_LAZY_MODE": "1"})
    set_faults(env["EMULATED_GAUDI_FAULTS"], Fault(hang=True, after_operations=20))
    hanging = subprocess.Popen([sys.executable, "doomed.py"], env=env, cwd=INSIDE, stdout=subprocess.PIPE, text=True)
    try:
        assert hanging.stdout and hanging.stdout.readline() == "READY\n"
        with pytest.raises(subprocess.TimeoutExpired):
            hanging.wait(timeout=2)
        directory = Path(env["EMULATED_GAUDI_SETTINGS"]).parent
        assert Monitor(load(env["EMULATED_GAUDI_SETTINGS"])).read(0).processes[0].pid == hanging.pid
        hanging.terminate()
        assert hanging.wait(timeout=300) == -signal.SIGTERM
        assert (directory / "processes" / f"{hanging.pid}.json").exists()  # it could not tidy up
        assert Monitor(load(env["EMULATED_GAUDI_SETTINGS"])).read(0).processes == ()
    finally:
        hanging.kill()
        hanging.communicate()


def test_metrics_are_dumped_by_their_triggers(server: Callable[..., Environment], tmp_path: Path) -> None:
    variables = {
        "PT_HPU_LAZY_MODE": "1",
        "PT_HPU_METRICS_FILE": str(tmp_path / "new" / "metrics.json"),
        "PT_HPU_METRICS_DUMP_TRIGGERS": "process_exit,mark_step,metric_change",
    }
    code = """
import habana_frameworks.torch.core as htcore, torch
for size in (1, 1, 2):
    torch.ones(size, device="hpu")
    htcore.mark_step()
"""
    done = run(["-c", code], server(variables))
    assert done.returncode == 0, done.stderr
    documents = json.loads((tmp_path / "new" / "metrics.json").read_text())
    triggers = [d["triggered_by"] for d in documents if d["metric_name"] == "graph_compilation"]
    # The second step compiles nothing: no change.
    assert triggers == ["mark_step", "metric_change", "mark_step", "mark_step", "metric_change", "process_exit"]
    assert documents[-3]["statistics"]["TotalNumber"] == 2


def test_a_module_that_is_not_there(server: Callable[..., Environment]) -> None:
    done = run(["doomed.py"], server({"PT_HPU_LAZY_MODE": "1", "HLS_MODULE_ID": "2"}, devices=2))
    assert done.returncode == 1 and "no (emulated) device with module id 2" in done.stderr
