"""Whatever a file holds, each reader answers, or says what is wrong in one sentence: no other error, no hang, no flood.

2,000 files for all readers together; GAUDI_PERF_FUZZ_TIMES=10 tries ten times as many.
"""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import msgspec
import pandas
import pytest
from hypothesis import HealthCheck, Phase, given, settings

from emulated_gaudi.faults import FaultsError
from emulated_gaudi.faults import read as read_faults
from gaudi_perf.accelerators.host import mib_in_bytes
from gaudi_perf.accelerators.hpu.hl_smi import devices_in, generation_of, processes_in
from gaudi_perf.session import values
from gaudi_perf.stores.baselines import BaselineStore
from gaudi_perf.stores.completions import read_completions
from gaudi_perf.stores.files import read_bytes
from gaudi_perf.stores.frames import csv_text, runs_frame
from gaudi_perf.stores.history import read_history
from gaudi_perf.stores.importing import (
    Circumstances,
    import_pytest_benchmark,
    import_run_generation,
)
from gaudi_perf.stores.models import Catalogue, checkpoint_fields, checkpoint_files
from gaudi_perf.stores.notes import NotesStore
from gaudi_perf.stores.optimum_habana import import_optimum_habana
from gaudi_perf.stores.prompt_files import column_kinds, read_file, texts
from gaudi_perf.stores.results import read_run
from gaudi_perf.stores.waivers import WaiverStore
from gaudi_perf.vocabulary.architectures import architecture_of
from gaudi_perf.vocabulary.baseline import Baseline, CaseBaseline
from gaudi_perf.vocabulary.bisection import Bisection
from gaudi_perf.vocabulary.documents import decode, encode, encode_line
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.note import Note, Notes
from gaudi_perf.vocabulary.regression import OpenRegressions
from gaudi_perf.vocabulary.releases import decode_releases
from gaudi_perf.vocabulary.stack import Device
from gaudi_perf.vocabulary.verdict import decode_session
from gaudi_perf.vocabulary.waiver import Waiver, Waivers
from gaudi_perf.workers.controller.hosts import read_hostfile
from gaudi_perf.workers.controller.launch import stack_launch
from tests.datasets.test_datasets import batch, header
from tests.fuzz.mutations import damaged
from tests.reports.factories import EVERY_RUN, EVERYTHING
from tests.stores.factories import make_run

ROOT = Path(__file__).parents[2]
TIMES = int(os.environ.get("GAUDI_PERF_FUZZ_TIMES", "1"))
CPU_SECONDS = 2.0
MEMORY = 1 << 30
RUN = make_run(probes=[0.1] * 5, components={"driver": "1.22.0", "pytorch": "2.6.0"})
CIRCUMSTANCES = Circumstances(Device(name="gaudi2", accelerator="hpu"), RUN.stack, "2026-01-31")
WAIVER = Waiver(case="a", device="gaudi2", until="1.24.0", reason="b", added_on="2026-01-31")
EXAMPLES = ROOT / "emulated_gaudi" / "examples"
PROMPTS = [{"text": "one two", "n": 1}, {"text": "NA", "n": None}]


class Reader(msgspec.Struct):
    """How a file of a name is read, and files that it reads."""

    name: str
    read: Callable[[Path], object]
    seeds: list[bytes]


def whole_history(path: Path) -> object:
    read = read_history(path.parents[1])
    return csv_text(runs_frame(read.runs)) if read.runs else ""


def whole_dataset(path: Path) -> object:
    frame = read_file(path, f"--dataset {path}")
    return [texts(frame, name) for name, kind in column_kinds(frame).items() if kind == "string"]


def parquet_of(rows: list[dict[str, object]]) -> bytes:
    data: bytes = pandas.DataFrame(rows).to_parquet()
    return data


SETTINGS = (values.share, values.tolerances, values.gates, values.device_counts, values.workloads, values.names)


def settings_of(parse: Callable[[str], object], text: str) -> object:
    try:
        return parse(text)
    except ValueError as error:  # whose sentence the option begins
        return str(error)


READERS = {
    "run": Reader("results/s/run-1.json", read_run, [encode(RUN), encode(EVERY_RUN[next(iter(EVERY_RUN))][0])]),
    "history": Reader("results/s/run-1.json", whole_history, [encode_line(RUN)]),
    "index of the history": Reader("results/.history-index", lambda path: read_history(path.parent), [b""]),
    "session": Reader("session.json", lambda path: decode_session(read_bytes(path), str(path)), [encode(EVERYTHING)]),
    "baseline": Reader(
        "gaudi2/synapse-1.22.0.json",
        lambda path: [*BaselineStore(path.parents[1]).problems()],
        [
            encode(Baseline(device=RUN.device, stack=RUN.stack, cases=[CaseBaseline.of([RUN])])),
            (ROOT / "tests/data/baselines_1/gaudi2/synapse-1.10.0.json").read_bytes(),
        ],
    ),
    "waivers": Reader(
        "waivers.json",
        lambda path: WaiverStore(path.parent).list(),
        [
            encode(
                Waivers(waivers=[Waiver(case="a", device="gaudi2", until="1.24.0", reason="b", added_on="2026-01-31")])
            )
        ],
    ),
    "notes": Reader(
        "notes.json",
        lambda path: NotesStore(path.parent).list(),
        [encode(Notes(notes=[Note(case="a", text="b", added_at="2026-01-31T12:00:00Z")]))],
    ),
    "stacks": Reader(
        "stacks.toml",
        lambda path: stack_launch("old", path, "--baseline-stack"),
        [b'[[stack]]\nname = "old"\npython = "/bin/sh"\n[[stack]]\nname = "new"\ncommand = ["sh", "-c"]\n'],
    ),
    "models": Reader(
        "models.toml",
        lambda path: [Catalogue(path.parent).model(name) for name in Catalogue(path.parent).names],
        [
            b'[mine]\ntitle = "Mine"\n[mine.configuration]\nmodel_type = "llama"\nhidden_size = 64\n'
            b"num_hidden_layers = 2\nnum_attention_heads = 4\nintermediate_size = 128\nvocab_size = 1000\n"
        ],
    ),
    "configuration": Reader(
        "config.json",
        lambda path: architecture_of(checkpoint_fields(path.parent, str(path)), str(path)),
        [
            b'{"model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,'
            b' "vocab_size": 100, "intermediate_size": 128, "rope_scaling": {"rope_type": "linear", "factor": 2.0}}',
            b'{"model_type": "mixtral", "num_local_experts": 4, "num_experts_per_tok": 2, "hidden_size": 64,'
            b' "head_dim": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,'
            b' "intermediate_size": 128, "vocab_size": 100, "quantization_config": {}}',
            b'{"model_type": "bloom", "n_layer": 2, "n_head": 4, "hidden_size": 64, "vocab_size": 100}',
        ],
    ),
    "index of weights": Reader(
        "model.safetensors.index.json",
        lambda path: checkpoint_files(path.parent, "a"),
        [b'{"metadata": {"total_size": 1}, "weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}'],
    ),
    "releases": Reader(
        "releases.toml",
        lambda path: decode_releases(read_bytes(path), str(path)),
        [(ROOT / "gaudi_perf/accelerators/hpu/releases.toml").read_bytes()],
    ),
    "hostfile": Reader("hostfile", read_hostfile, [b"# ours\nworker-0 slots=8\nroot@10.0.0.2 slots=8 max_slots=8\n"]),
    "hl-smi": Reader(
        "table",
        lambda path: processes_in(path.read_bytes().decode(errors="replace")),
        [b"| Compute Processes:    AIP Memory |\n|   0   1234   C   python3.10   3MiB |\n|   7   99  C  a  1MiB\n"],
    ),
    "hl-smi's query": Reader(
        "rows",
        lambda path: [
            (generation_of(name), mib_in_bytes(memory))
            for name, memory in devices_in(path.read_bytes().decode(errors="replace"), 2)
        ],
        [b"HL-225, HL-225, 98304\nHL-205, HL-205, [N/A]\nno driver, a, b\n"],
    ),
    "faults": Reader("faults.json", read_faults, [path.read_bytes() for path in sorted(EXAMPLES.glob("*.json"))]),
    "settings": Reader(
        "text",
        lambda path: [settings_of(parse, path.read_bytes().decode(errors="replace")) for parse in SETTINGS],
        [b"5%", b"latency=5%,memory=2%", b"1,8", b"batch=4,prompt=1024,new=256;batch=8,dtype=fp16"],
    ),
    "optimum-habana's baselines": Reader(
        "fixture.json",
        lambda path: import_optimum_habana(path, RUN.stack, "2026-01-31"),
        [
            b'{"tests/test_text_generation_example.py::test_text_generation_bf16_1x[bigscience/bloomz-7b1-1-False-False-False]":'
            b' {"gaudi2": {"throughput": 130.5, "output": "a"}, "gaudi1": {"throughput": 41.1}}}'
        ],
    ),
    "run_generation's results": Reader(
        "results.json",
        lambda path: import_run_generation(path, "bloomz7b-1x-graphs-kvcache", CIRCUMSTANCES),
        [b'{"throughput": 41.1, "output": ["a"]}'],
    ),
    "pytest-benchmark's file": Reader(
        "benchmark.json",
        lambda path: import_pytest_benchmark(path, CIRCUMSTANCES),
        [
            b'{"datetime": "2026-01-31T12:00:00+09:00", "machine_info": {"cpu": {"brand_raw": "Xeon", "count": 80}},'
            b' "benchmarks": [{"name": "test_latency[bloomz7b-1x-graphs-kvcache]", "stats": {"data": [1.0, 1.1]}}]}'
        ],
    ),
    "prompts as CSV": Reader("prompts.csv", whole_dataset, [b'text,n\n"one, two",1\nNA,\n']),
    "prompts as JSON": Reader("prompts.json", whole_dataset, [msgspec.json.encode(PROMPTS)]),
    "prompts as JSON Lines": Reader("prompts.jsonl", whole_dataset, [b"\n".join(map(msgspec.json.encode, PROMPTS))]),
    "prompts as Parquet": Reader("prompts.parquet", whole_dataset, [parquet_of(PROMPTS)]),
    "prompts as text": Reader("prompts.txt", whole_dataset, [b"one two\nthree\n"]),
    "completions": Reader(
        "out.jsonl",
        lambda path: [*read_completions(path)[1]],
        [encode_line(header()) + encode_line(batch(1)) + encode_line(batch(2))],
    ),
    "open regressions": Reader(
        "open.json", lambda path: decode(read_bytes(path), OpenRegressions, str(path)), [encode(OpenRegressions())]
    ),
    "bisection": Reader(
        "bisect.json",
        lambda path: decode(read_bytes(path), Bisection, str(path)),
        [encode(Bisection(points=["1.20.0", "1.21.0", "1.22.0"], asked=["a"]))],
    ),
}


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What the history imports reserves memory once: pyarrow up to a GiB of addresses."""
    reader = READERS["history"]
    file = tmp_path_factory.mktemp("first") / reader.name
    file.parent.mkdir(parents=True)
    file.write_bytes(reader.seeds[0])
    reader.read(file)


@pytest.fixture
def bounded(imported: None) -> Iterator[None]:
    """Within 1 GiB more than there is, and 2 s of this process for a file."""

    def ended(signum: int, frame: FrameType | None) -> None:
        raise AssertionError(f"a file took more than {CPU_SECONDS:g} s")

    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    before = signal.signal(signal.SIGVTALRM, ended)
    resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, hard))
    yield
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    signal.signal(signal.SIGVTALRM, before)


FOUND = {
    "stacks": b'[[stack]]\nname = "old"\npython = "' + b"1" * 5000 + b'"\n',
    "models": b"[a]\n" + b"b." * 10_000 + b"c = 1\n",
    "releases": b"container = " + b"9" * 5000 + b"\n",
    "configuration": b'{"model_type": [' + b"0, " * 10_000 + b"0]}",
    "index of weights": b'{"weight_map": {"a": "\\n::set-output name=a::b"}}',
    "faults": b'{"faults": [], "\\n": 1}',
    "optimum-habana's baselines": READERS["optimum-habana's baselines"].seeds[0].replace(b"130.5", b"9" * 400),
}
"""What was wrong once: an error of another kind, a sentence of 30,000 characters or of two lines, seconds."""


@pytest.mark.parametrize("name", FOUND)
def test_what_fuzzing_found_stays_mended(name: str, bounded: None, tmp_path: Path) -> None:
    check_one(READERS[name], tmp_path / READERS[name].name, FOUND[name])


def check_one(reader: Reader, file: Path, data: bytes) -> None:
    """Read a file."""
    file.write_bytes(data)
    signal.setitimer(signal.ITIMER_VIRTUAL, CPU_SECONDS)
    try:
        reader.read(file)
    except (UserError, FaultsError) as error:
        assert "\n" not in str(error) and len(str(error)) < 1500, str(error)[:3000]
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
def test_any_file_is_read_or_one_sentence(reader: Reader, bounded: None, tmp_path: Path) -> None:
    file = tmp_path / reader.name
    file.parent.mkdir(parents=True, exist_ok=True)
    for name in ("model-1.safetensors", "model-2.safetensors"):
        (tmp_path / name).touch()
    for seed in reader.seeds:
        file.write_bytes(seed)
        reader.read(file)

    @settings(
        max_examples=2000 * TIMES // len(READERS),
        deadline=None,
        derandomize=TIMES == 1,
        database=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(damaged(tuple(reader.seeds)))
    def check(data: bytes) -> None:
        check_one(reader, file, data)

    check()
