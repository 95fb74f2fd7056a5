"""Completing datasets as users do: files of all kinds, mistakes, interruptions, throughput against baselines."""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from gaudi_perf.generation.dataset import PromptSource
from gaudi_perf.protocol import GroupSpec
from gaudi_perf.stores.completions import CompletionsFile, read_completions, write_layout
from gaudi_perf.stores.prompt_files import column_kinds, read_file, texts
from gaudi_perf.vocabulary.configuration import Configuration
from gaudi_perf.vocabulary.dataset import Batch, CompletionHeader, Dataset
from gaudi_perf.vocabulary.documents import encode_line
from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.run import WarmUp
from gaudi_perf.workers.controller.completing import settled

ROOT = Path(__file__).parents[2]
INJECTED = ROOT / "tests" / "injected"
PROMPTS = [f"prompt {number} of the file, which has {'many ' * (number % 20)}words" for number in range(21)]
FAST = ["--model", "bloomz560m", "--eager", "--new-tokens", "3", "--batch-size", "4", "--prompt-tokens", "6"]


def command(place: Path, source: Path, *more: str) -> list[str]:
    directories = ["--baselines-dir", str(place / "baselines"), "--results-dir", str(place / "results")]
    output = ["--output", str(place / "out.jsonl")]
    return [sys.executable, "-m", "gaudi_perf", "complete", str(source), *output, *directories, *FAST, *more]


def environment(place: Path, **injected: Any) -> dict[str, str]:
    """That of a worker whose engine is scripted, and needs no torch; of a real one where nothing is injected."""
    found = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(place / "hf")}
    if injected:
        found["GAUDI_PERF_INJECTED"] = json.dumps(injected)
        found["PYTHONPATH"] = os.pathsep.join([str(INJECTED), str(ROOT)])
    return found


def run(place: Path, source: Path, *more: str, engine: str = "scripted") -> subprocess.CompletedProcess[str]:
    variables = environment(place, engine=engine) if engine else environment(place)
    return subprocess.run(
        command(place, source, *more), cwd=ROOT, env=variables, capture_output=True, text=True, timeout=300
    )


def csv_file(place: Path) -> Path:
    path = place / "prompts.csv"
    path.write_text("".join(["number,prompt,other\n", *(f'{n},"{text}",x\n' for n, text in enumerate(PROMPTS))]))
    return path


def whole(path: Path) -> list[Batch]:
    """The batches of a file, after checking that it is complete, in order, without doubles."""
    header, batches = read_completions(path)
    found = list(batches)
    assert [batch.batch for batch in found] == list(range(1, header.batches + 1))
    assert [batch.first for batch in found] == list(range(0, header.rows, header.batch_size))
    inputs = [text for batch in found for text in batch.inputs]
    assert inputs == [" ".join(text.split()[:6]) for text in PROMPTS[: header.rows]]
    assert all(len(ids) == 3 for batch in found for ids in batch.token_ids)
    return found


def test_a_file_is_completed_in_the_article_s_layout_and_resumed_wherever_it_was_killed(tmp_path: Path) -> None:
    source, out = csv_file(tmp_path), tmp_path / "out.jsonl"
    done = run(tmp_path, source)
    assert done.returncode == 0, done.stderr
    assert "21 prompts in 6 batches" in done.stdout and "new tokens/s" in done.stdout and "NO BASELINE" in done.stdout
    assert "dummy weights have no tokenizer" in done.stdout
    look = next(line for line in done.stdout.splitlines() if line.startswith("look closer: gaudi-perf report "))
    reported = subprocess.run(
        [sys.executable, "-m", "gaudi_perf", *shlex.split(look)[3:-2], "--csv", "-"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert reported.stdout.count("bloomz560m-1x-eager-kvcache") == 1, reported.stdout + reported.stderr
    expected = whole(out)
    assert len(expected[-1].inputs) == 1, "the last batch has what is left"
    text = out.with_suffix(".txt").read_text()
    assert text.count("Batch n°") == 6 and text.startswith("---") and f"Input: {expected[0].inputs}" in text
    lines = out.read_bytes().splitlines(keepends=True)

    # Torn within a line, as a kill between two parts of a write would leave it.
    out.write_bytes(b"".join(lines[:3]) + lines[3][:20])
    again = run(tmp_path, source)
    assert "2 of 6 batches were there already" in again.stdout, again.stderr
    resumed = whole(out)
    assert [batch.token_ids for batch in resumed] == [batch.token_ids for batch in expected]

    nothing = run(tmp_path, source)
    assert nothing.returncode == 0 and "6 of 6 batches were there already" in nothing.stdout
    other = run(tmp_path, source, "--limit", "9")
    assert other.returncode == 2 and "holds other completions (rows 21, not 9)" in other.stderr
    assert "Traceback" not in other.stderr


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_killed_at_any_moment_it_goes_on(tmp_path: Path, how: signal.Signals) -> None:
    source, out = csv_file(tmp_path), tmp_path / "out.jsonl"
    process = subprocess.Popen(
        command(tmp_path, source),
        cwd=ROOT,
        env=environment(tmp_path, engine="scripted", sleep=True),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    until = time.monotonic() + 120
    while time.monotonic() < until and process.poll() is None:
        if out.exists() and out.read_bytes().count(b"\n") >= 3:
            break
        time.sleep(0.001)
    process.send_signal(how)
    output, _ = process.communicate()
    if how == signal.SIGTERM and process.returncode:
        assert b"ended by SIGTERM: the same command goes on where it stopped" in output and b"Traceback" not in output
    done = run(tmp_path, source)
    assert done.returncode == 0, done.stderr
    whole(out)


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet", "txt"])
def test_kinds_of_files(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"prompts.{kind}"
    if kind == "csv":
        csv_file(tmp_path)
    elif kind == "jsonl":
        path.write_text("".join(json.dumps({"n": n, "text": text}) + "\n" for n, text in enumerate(PROMPTS)))
    elif kind == "txt":
        path.write_text("\n".join(PROMPTS) + "\n")
    else:
        pandas = pytest.importorskip("pandas")
        pandas.DataFrame({"n": range(21), "text": PROMPTS}).to_parquet(path)
    source = prompt_source(tmp_path, Dataset(source=str(path)))
    assert source.prompts(0, 50)[1] == [" ".join(text.split()[:6]) for text in PROMPTS]
    assert source.column == {"csv": "prompt"}.get(kind, "text") and source.split == "train"


def prompt_source(place: Path, dataset: Dataset) -> PromptSource:
    group = GroupSpec(engine="cpu", model="bloomz560m", devices=1, scale="standin", dtype="bfloat16")
    return PromptSource(dataset, 6, group)


def test_words_of_json_and_csv_stay_what_they_are(tmp_path: Path) -> None:
    for name, text in (("a.csv", "text\nNA\nnone\n"), ("a.json", '[{"text": "NA"}, {"text": "none"}]')):
        (tmp_path / name).write_text("\ufeff" + text)
        assert prompt_source(tmp_path, Dataset(source=str(tmp_path / name))).prompts(0, 9)[1] == ["NA", "none"]


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("none.csv", None, "there is no such file"),
        (
            "deep.jsonl",
            b'{"text": "a"}\n' + b"[" * 50_000,
            r"cannot be read \(line 2: .*\): is it whole, and of the kind",
        ),
        ("deep.json", b'{"text": ' * 50_000, r"cannot be read \(line 1: .*recursion.*\): is it whole"),
        ("latin.csv", b"text\n\xe9\n", "cannot be read .*is it whole"),
        ("latin.txt", b"\xe9\n", "cannot be read .*is it whole"),
        ("empty.csv", b"", "cannot be read .*No columns"),
        ("blank.csv", b"text\n", r"cannot be read \(it has no rows\)"),
        ("blank.jsonl", b"", r"cannot be read \(it has no rows\)"),
        ("blank.txt", b"", r"cannot be read \(it has no rows\)"),
        ("twice.csv", b"text,text\na,b\n", "its first line names the column 'text' more than once"),
        ("comma.csv", b"text\nhello,world\n", "its rows have more columns than its first line names"),
        ("twice.jsonl", b'{"text": "a"}\n\n{"text": "a", "text": "b"}\n', r"\(line 3: the key 'text' stands on line 3"),
        ("twice.json", b'[{"text": "a",\n"text": "b"}]', r"\(line 2: the key 'text' stands on line 1 already"),
        ("a.docx", b"", r"is no \.csv, \.json, "),
        ("numbers.csv", b"a,b\n1,2\n", r"no column of split 'train' holds strings; there are a \(int64\), b"),
    ],
)
def test_a_file_that_is_none_is_one_sentence(tmp_path: Path, name: str, content: bytes | None, sentence: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=sentence) as found:
        prompt_source(tmp_path, Dataset(source=str(tmp_path / name)))
    assert len(str(found.value)) < 700 and str(found.value).isprintable()


@pytest.mark.parametrize(
    ("name", "piece", "count", "size"),
    [
        ("a.txt", "\n", 4_000_001, "4000001 rows of 1 column"),
        ("a.jsonl", "{}\n", 4_000_001, "4000001 rows of 1 column"),
        ("a.json", "[{},{},", 4_000_001, "4000001 rows of 1 column"),
        ("a.csv", ",", 10_000, "0 rows of 10001 columns"),
        ("keys.jsonl", '{"%d": 1}\n', 7000, "7000 rows of 7000 columns"),
    ],
)
def test_a_file_that_would_become_a_huge_table_is_not_read(
    tmp_path: Path, name: str, piece: str, count: int, size: str
) -> None:
    text = "".join(piece % number for number in range(count)) if "%" in piece else piece * count
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=f"{size} are too many: split it"):
        prompt_source(tmp_path, Dataset(source=str(tmp_path / name)))


def test_a_small_parquet_of_many_rows_is_not_read(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    pandas.DataFrame({"text": pandas.Categorical(["a"]).repeat(4_000_001)}).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(UserError, match="4000001 rows of 1 column are too many"):
        prompt_source(tmp_path, Dataset(source=str(tmp_path / "a.parquet")))


def test_strings_that_parquet_keeps_as_categories_are_strings(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"number": pandas.Categorical([1, 2, 1]), "text": pandas.Categorical(["a", "b", None])})
    frame.to_parquet(tmp_path / "a.parquet")
    read = read_file(tmp_path / "a.parquet", "--dataset a.parquet")
    assert column_kinds(read) == {"number": "int64", "text": "string"}
    assert texts(read, "text") == ["a", "b", ""]


def test_what_is_missing_is_said_before_anything_starts(tmp_path: Path) -> None:
    """Nothing of a worker group is there: no device was looked for, no session was written."""
    parquet = tmp_path / "a.parquet"
    parquet.write_bytes(b"PAR1")
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "sitecustomize.py").write_text(
        "import importlib.util as util\nfind = util.find_spec\n"
        "util.find_spec = lambda name, *more: None if name in ('datasets', 'pyarrow') else find(name, *more)\n"
    )
    for source, sentence in (
        (parquet, "Parquet is read by pyarrow, which is not installed: pip install pyarrow"),
        (Path("some/news"), 'which is not installed: pip install "datasets>=4,<5", or name a file'),
        (tmp_path / "none.csv", "there is no such file"),
        ("", "the dataset's name is empty: name a file, or a dataset of the hub"),
    ):
        done = subprocess.run(
            command(tmp_path, source),
            cwd=ROOT,
            env={**environment(tmp_path), "PYTHONPATH": str(hidden)},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 2 and sentence in done.stderr and done.stderr.count("\n") <= 3, done.stderr
        assert not list(tmp_path.glob("results/*")) and not (tmp_path / "out.jsonl").exists()


def test_a_local_file_has_no_configuration(tmp_path: Path) -> None:
    done = run(tmp_path, csv_file(tmp_path), "--configuration", "en")
    assert done.returncode == 2 and "a local file has no configuration 'en': leave it out" in done.stderr
    assert not list(tmp_path.glob("results/*")) and not (tmp_path / "out.jsonl").exists()


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"column": "content"}, "has in its split 'train' number \\(int64\\), prompt"),
        ({"column": "number"}, "holds int64, not strings"),
        ({"split": "test"}, "has the splits train"),
    ],
)
def test_what_is_not_there_is_listed(tmp_path: Path, asked: dict[str, str], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        prompt_source(tmp_path, Dataset(source=str(csv_file(tmp_path)), **asked))


def test_a_mistake_is_reported_without_traceback_and_leaves_no_file(tmp_path: Path) -> None:
    done = run(tmp_path, csv_file(tmp_path), "--column", "content")
    assert done.returncode == 2 and "has in its split 'train' number (int64), prompt" in done.stderr, done.stderr
    assert "Traceback" not in done.stderr and not (tmp_path / "out.jsonl").exists()


def test_a_model_completes_a_file(tmp_path: Path) -> None:
    done = run(tmp_path, csv_file(tmp_path), "--limit", "5", engine="")
    assert done.returncode == 0, done.stderr
    assert len(whole(tmp_path / "out.jsonl")) == 2


BY_PYTEST = [sys.executable, "-m", "pytest", "perf_tests/test_dataset.py", "-p", "no:cacheprovider"]
BY_PYTEST += ["-k", "bloomz560m-1x-eager-kvcache"]


@pytest.mark.parametrize("face", ["command", "pytest"])
def test_the_log_of_a_worker_that_failed_is_kept_beside_the_results(tmp_path: Path, face: str) -> None:
    source = csv_file(tmp_path)
    words = command(tmp_path, source)
    if face == "pytest":
        (tmp_path / "baselines").mkdir()
        places = [f"--{name}-dir={tmp_path / name}" for name in ("baselines", "results", "completions")]
        words = [*BY_PYTEST, "--dataset", str(source), *places]
    variables = environment(tmp_path, engine="scripted", fault={"kind": "kill", "phase": "load"})
    done = subprocess.run(words, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=300)
    assert done.returncode != 0 and "was killed by SIGKILL" in done.stdout + done.stderr
    (log,) = (tmp_path / "results").glob("*/*.log")
    assert "injected: kill in load" in log.read_text()
    assert str(log) in (done.stdout + done.stderr).replace("\n", "")


@pytest.mark.slow
def test_pytest_completes_it_with_baselines_of_its_own(tmp_path: Path) -> None:

    def suite(*more: str) -> subprocess.CompletedProcess[str]:
        places = [f"--{name}-dir={tmp_path / name}" for name in ("baselines", "results", "completions")]
        shape = ["--dataset-new-tokens", "4", "--dataset-batch-size", "4", "--dataset-prompt-tokens", "6"]
        return subprocess.run(
            [*BY_PYTEST, "--dataset", str(csv_file(tmp_path)), *shape, *places, *more],
            cwd=ROOT,
            env=environment(tmp_path, engine="scripted"),
            capture_output=True,
            text=True,
            timeout=300,
        )

    (tmp_path / "baselines").mkdir()
    first = suite("--require-baseline")
    assert first.returncode == 1 and "NO BASELINE" in first.stdout, first.stdout
    nothing = suite("--require-baseline")
    assert nothing.returncode == 1, "what an earlier session completed is no clear verdict"
    assert "nothing was measured: delete " in nothing.stdout, nothing.stdout
    (kept,) = (tmp_path / "completions").rglob("*.jsonl")
    kept.unlink()
    page, summary = tmp_path / "report.html", tmp_path / "summary.md"
    stored = suite("--refresh-baselines", "--runs", "2", "--perf-html", str(page))
    assert stored.returncode == 0, stored.stdout
    (path,) = (tmp_path / "baselines").glob("*/*.json")
    (case,) = json.loads(path.read_text())["cases"]
    workload = case["case"]["workload"]
    assert workload["prompt"] == "dataset prompts.csv" and workload["batch_size"] == 4
    assert len(whole_of(kept)) == 6
    kept.unlink()
    assert '["Prompts","dataset prompts.csv"]' in page.read_text()
    again = suite("perf_tests/test_latency.py", "--perf-markdown", str(summary))
    assert "prompts/s" in again.stdout, again.stdout
    written = summary.with_name("summary-dataset.md").read_text()
    assert "dataset prompts.csv" in written and "NO BASELINE" not in written, written
    assert "bloomz560m-1x-eager-kvcache" in summary.read_text() and "dataset" not in summary.read_text()


def test_batches_that_are_steady_in_the_end_make_up_for_a_short_warm_up() -> None:
    short = WarmUp(latencies_s=[5.0, 4.1, 4.0], steady=False, reason="not steady after 3 batches")
    assert settled(short, [4.1, *[4.0] * 20]).steady
    assert settled(short, [4.0 * 0.95**n for n in range(20)]) == short, "they drift"
    assert settled(short, [4.0, 4.0]) == short, "too few to decide"


def test_without_a_dataset_the_test_says_what_it_needs() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "perf_tests/test_dataset.py", "-rs", "-p", "no:cacheprovider"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert "no dataset: name one of the hub or a file with --dataset" in done.stdout


def whole_of(path: Path) -> list[Batch]:
    return list(read_completions(path)[1])


def header(**more: Any) -> CompletionHeader:
    return CompletionHeader(
        **{
            "dataset": "d",
            "column": "c",
            "split": "train",
            "rows": 5,
            "content": "x",
            "configuration": Configuration(model="bloomz7b", devices=1, graphs=True, kv_cache=True),
            "device": "cpu",
            "scale": "standin",
            "weights": "dummy",
            "dtype": "bfloat16",
            "tokens": "stand-in",
            "prompt_tokens": 4,
            "new_tokens": 2,
            "batch_size": 2,
            **more,
        }
    )


def batch(number: int) -> Batch:
    return Batch(
        batch=number,
        first=2 * (number - 1),
        latency_s=0.5,
        inputs=["é\n", "b"],
        outputs=["c", "d"],
        token_ids=[[1], [2]],
    )


def test_a_file_cut_at_any_byte_goes_on_where_its_whole_lines_end(tmp_path: Path) -> None:
    path = tmp_path / "new" / "out.jsonl"
    with CompletionsFile(path) as file:
        assert file.open(header()) == 0
        for number in (1, 2, 3):
            file.append(batch(number))
    data = path.read_bytes()
    for size in range(len(data)):
        path.write_bytes(data[:size])
        with CompletionsFile(path) as file:
            done = file.open(header())
            assert done == max(data[:size].count(b"\n") - 1, 0)
            for number in range(done + 1, 4):
                file.append(batch(number))
        assert path.read_bytes() == data
    assert write_layout(path).read_text().count("Batch n°") == 3


@pytest.mark.parametrize(
    ("output", "there", "sentence"),
    [
        ("prompts.jsonl", "prompts.txt", r"prompts\.txt: is there, and the completions' text would take its place"),
        ("prompts.txt", "prompts.txt", r"prompts\.txt: the completions' text gets this name"),
        ("notes", "notes", r"notes: is there, and holds no completions"),
    ],
)
def test_no_file_of_others_is_written_over(tmp_path: Path, output: str, there: str, sentence: str) -> None:
    """Least of all the dataset that is completed; nor one without a line's end, as if it were a torn line."""
    (tmp_path / there).write_text("a prompt of mine")
    with pytest.raises(UserError, match=sentence), CompletionsFile(tmp_path / output) as file:
        file.open(header())
    with pytest.raises(UserError):
        write_layout(tmp_path / output)
    assert (tmp_path / there).read_text() == "a prompt of mine"


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("fifo", "fifo: is no regular file"),
        ("null", "null: is no regular file"),
        ("socket", r"socket: cannot be written \(No such device or address\)"),
        ("directory", r"directory: cannot be written \(Is a directory\)"),
        ("directory/text.jsonl", r"text\.txt: is there, and the completions' text would take its place"),
        ("/", "^/: is a directory: name a file with --output"),
        ("/proc/out.jsonl", r"out\.jsonl: cannot be written"),
        ("text/out.jsonl", r"out\.jsonl: cannot be written \(.*\): name another --output"),
    ],
)
def test_a_place_for_no_completions_is_refused_before_anything_starts(tmp_path: Path, name: str, sentence: str) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "null").symlink_to("/dev/null")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(tmp_path / "socket"))
    (tmp_path / "directory").mkdir()
    os.mkfifo(tmp_path / "directory" / "text.txt")
    (tmp_path / "text").touch()
    with pytest.raises(UserError, match=sentence), CompletionsFile(tmp_path / name):
        pass
    assert not list(tmp_path.glob("**/*.jsonl"))


@pytest.mark.parametrize("field", ["dataset", "column", "split"])
def test_names_that_no_header_takes_are_refused_before_a_batch(tmp_path: Path, field: str) -> None:
    """Else the file could not be read once it is complete."""
    with CompletionsFile(tmp_path / "out.jsonl") as file:
        with pytest.raises(UserError, match=r"^'x{80}\.\.\. \(201 letters\)': takes 1 to 200 letters"):
            file.open(header(**{field: "x" * 201}))
        with pytest.raises(UserError, match=r"^'': takes 1 to 200 letters"):
            file.open(header(**{field: ""}))


def test_a_file_that_is_not_used_is_not_left(tmp_path: Path) -> None:
    (tmp_path / "mine.jsonl").touch()
    for name in ("new.jsonl", "mine.jsonl"):
        with CompletionsFile(tmp_path / name):
            pass
    assert [path.name for path in tmp_path.iterdir()] == ["mine.jsonl"]


def test_two_writers_and_foreign_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    with CompletionsFile(path) as file:
        file.open(header())
        with pytest.raises(UserError, match="another process writes there"), CompletionsFile(path):
            pass
        with pytest.raises(ValueError, match="batch 2 after batch 0"):
            file.append(batch(2))
    with CompletionsFile(path) as file, pytest.raises(UserError, match="batch_size 2, not 3"):
        file.open(header(batch_size=3))
    first = encode_line(header())
    for line in (b"{}\n", first.replace(b'"rows":', b'"rows":1,"rows":', 1)):
        path.write_bytes(line)
        with CompletionsFile(path) as file, pytest.raises(UserError, match="line 1: is no CompletionHeader"):
            file.open(header())
