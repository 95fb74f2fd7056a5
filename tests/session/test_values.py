"""What values of options mean, the same for pytest and the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gaudi_perf.cli.common import value_of
from gaudi_perf.session.values import (
    directory,
    file,
    gates,
    modes,
    new_file,
    path,
    reason,
    share,
    tolerances,
    weights,
    workloads,
)
from gaudi_perf.vocabulary.errors import UserError


@pytest.mark.parametrize("text", ["5%", "5 %", " 5% ", "0.05", ".05", "5.0%"])
def test_a_share_is_the_same_in_percent_and_as_a_number(text: str) -> None:
    assert share(text) == value_of(share, text, "--tolerance") == tolerances(text)["latency"] == 0.05


@pytest.mark.parametrize(
    ("text", "spellings"),
    [("5", "5% or 0.05"), ("7.5", "7.5% or 0.075"), ("0", "5% or 0.05"), ("much", "5% or 0.05"), ("5%%", "5% or 0.05")],
)
def test_what_may_mean_either_is_refused_with_both_spellings(text: str, spellings: str) -> None:
    with pytest.raises(ValueError, match=f"it takes a share above 0 and below 1: write {spellings}"):
        share(text)
    with pytest.raises(UserError, match=f"--tolerance {text}: it takes a share .* write {spellings}"):
        value_of(share, text, "--tolerance")


@pytest.mark.parametrize("text", ["", "  \n", "x" * 2001, "\udcff"])
def test_what_is_no_reason(text: str) -> None:
    assert reason("collectives are slower, £ 5") and reason("x" * 2000)
    with pytest.raises(ValueError, match="it takes a reason in words, at most 2000 characters"):
        reason(text)


@pytest.mark.parametrize("text", ["1e-300%", "1e-13", "inf%", "1e400%"])
def test_a_share_that_is_rounded_to_nothing_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="it takes a share above 0"):
        share(text)


@pytest.mark.parametrize("parse", [path, file, directory, new_file, weights])
def test_an_empty_path_is_not_the_working_directory(parse: Callable[[str], object]) -> None:
    with pytest.raises(ValueError, match="it takes"):
        parse("")


def test_a_share_of_more_than_all_is_written_in_percent() -> None:
    assert share("150%", most=100.0) == 1.5
    for text in ("1.5", "20", "100%", "nan", "-5%"):
        with pytest.raises(ValueError, match="a share"):
            share(text, most=1.0 if text == "100%" else 100.0)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("batch=4", ({"batch_size": 4},)),
        (
            "batch=4,prompt=1024,new=256,dtype=fp32",
            ({"batch_size": 4, "prompt_tokens": 1024, "new_tokens": 256, "dtype": "float32"},),
        ),
        ("beams=4;contrastive=0.6:4", ({"num_beams": 4}, {"penalty_alpha": 0.6, "top_k": 4})),
        (" new = 8 ; batch=2,dtype=bfloat16", ({"new_tokens": 8}, {"batch_size": 2, "dtype": "bfloat16"})),
    ],
)
def test_workloads(text: str, found: object) -> None:
    assert workloads(text) == found


@pytest.mark.parametrize(
    "text",
    [
        *("", "4", "batch", "batch=", "batch=0", "batch=4,batch=5", "dtype=int8", "b=4", "new=8;"),
        *("beams=1", "contrastive=1:4", "contrastive=0.6", "beams=2,contrastive=0.6:4"),
    ],
)
def test_what_is_no_workload(text: str) -> None:
    with pytest.raises(ValueError, match=r"it takes batch=N,prompt=N,new=N,dtype=bf16"):
        workloads(text)


@pytest.mark.parametrize("parse", [gates, tolerances])
def test_throughput_is_no_metric_of_its_own(parse: Callable[[str], object]) -> None:
    with pytest.raises(ValueError, match="its verdict is that of the latency: name latency"):
        parse("memory,throughput" if parse is gates else "throughput=5%")


def test_modes() -> None:
    assert modes("compile,graphs") == ("graphs", "compile")
    with pytest.raises(ValueError, match="it takes some of graphs, eager, compile"):
        modes("graphs,lazy")


def test_prompts_of_files(tmp_path: Path) -> None:
    file = tmp_path / "prompts.txt"
    file.write_text("one é\n\ntwo\n", encoding="utf-8")
    assert workloads(f"batch=2,prompts-file={file}") == ({"batch_size": 2, "prompt": ("one é", "two")},)
    assert workloads(f"prompt-file={file}") == ({"prompt": "one é\n\ntwo"},)
    file.write_text("one\n")
    assert workloads(f"prompts-file={file}") == ({"prompt": "one"},)
    for content, words in (
        (b"", "has 0 characters, and prompts take 1 to 20000"),
        (b"\xff\xfe", "byte 1 is no UTF-8: save it as UTF-8"),
        (b"a" * 20_001, "has 20001 characters"),
    ):
        file.write_bytes(content)
        with pytest.raises(ValueError, match=f"prompts.txt: {words}"):
            workloads(f"prompt-file={file}")
    with pytest.raises(UserError, match="too much to read"):
        file.write_bytes(b"a" * 100_000)
        workloads(f"prompt-file={file}")
    with pytest.raises(ValueError, match="there is no such file"):
        workloads(f"prompt-file={tmp_path}")
