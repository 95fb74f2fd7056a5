"""Which cases there are, which are on, and why others are skipped."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest

from fixtures.bloomz import named
from tests.suite.conftest import ROOT, Scripted, Suite

ALL_DEFAULT = {
    f"{model}-{devices}x-{graphs}-{cache}"
    for model in ("bloomz176b", "bloomz7b")
    for devices in (1, 8)
    for graphs in ("graphs", "eager")
    for cache in ("kvcache", "nocache")
}


def collected(suite: Suite, *arguments: str) -> set[str]:
    outcome = suite("--collect-only", "-q", *arguments)
    return set(re.findall(r"test_latency\[(.+)\]", outcome.output))


def test_default_matrix(suite: Suite) -> None:
    assert collected(suite) == ALL_DEFAULT


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("bloomz7b", ["bloomz7b"]),
        ("8x and graphs", ["8x", "graphs"]),
        ("nocache", ["nocache"]),
        ("bloomz7b-1x and kvcache", ["bloomz7b-1x", "kvcache"]),
    ],
)
def test_k_selects_what_it_says(suite: Suite, expression: str, words: list[str]) -> None:
    assert collected(suite, "-k", expression) == {case for case in ALL_DEFAULT if all(word in case for word in words)}


def test_bloomz560m_is_off_unless_selected(suite: Suite) -> None:
    assert not any("560m" in case for case in collected(suite, "-k", "bloomz"))
    selected = collected(suite, "-k", "bloomz560m and 1x")
    assert selected == {f"bloomz560m-1x-{g}-{c}" for g in ("graphs", "eager") for c in ("kvcache", "nocache")}


def test_devices_reshape_the_matrix(suite: Suite) -> None:
    cases = collected(suite, "--devices", "1,2", "-k", "bloomz7b and kvcache")
    assert cases == {f"bloomz7b-{n}x-{graphs}-kvcache" for n in (1, 2) for graphs in ("graphs", "eager")}


def test_cases_of_a_worker_group_come_together(suite: Suite) -> None:
    outcome = suite("--collect-only", "-q")
    groups = [re.sub(r"-(graphs|eager).*", "", case) for case in re.findall(r"test_latency\[(.+)\]", outcome.output)]
    assert len([one for one, other in zip(groups, [None, *groups], strict=False) if one != other]) == len(set(groups))


def test_skips_say_why_in_numbers(suite: Suite, scripted: Scripted) -> None:
    outcome = suite("-k", "bloomz7b-8x-graphs-kvcache", "-rs", injected=scripted())
    assert "needs 8 devices, found 1" in outcome.output
    assert "1 skipped" in outcome.output and outcome.status == 5
    both = suite("-k", "graphs-kvcache and bloomz7b", injected=scripted())
    assert both.status == 0 and "1 skipped, " in both.output, "what could be measured was"


def test_where_no_device_is_found_a_clear_verdict_can_be_required(suite: Suite) -> None:
    arguments = ["-k", "bloomz7b-1x-eager-kvcache", "--accelerator", "hpu"]
    shown = suite(*arguments, PATH="/nowhere")
    assert shown.status == 5 and "skipped: 1 case: no hpu device found" in shown.output
    assert "nothing was measured: exit status 5\n" in shown.output
    required = suite(*arguments, "--require-baseline", PATH="/nowhere")
    assert required.status == 1 and "not measured: bloomz7b-1x-eager-kvcache: no hpu device found" in required.output


def test_a_broken_driver_is_no_missing_device(suite: Suite, scripted: Scripted) -> None:
    tool = suite.place / "bin" / "hl-smi"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\necho 'hlml: no driver' >&2\nexit 1\n")
    tool.chmod(0o755)
    path = f"{tool.parent}:{os.environ['PATH']}"
    arguments = ["-k", "bloomz7b-1x-eager-kvcache", "--new-tokens", "4", "--rounds", "3"]
    said = "hl-smi fails with exit status 1 (hlml: no driver)"
    auto = suite(*arguments, injected=scripted(), PATH=path)
    assert auto.status == 0 and f"--accelerator auto took cpu, since a driver is broken: {said}\n" in auto.output
    required = suite(*arguments, "--require-baseline", injected=scripted(), PATH=path)
    assert required.status == 1 and f"-n4: --accelerator auto took cpu, since a driver is broken: {said}" in " ".join(
        required.output.split()
    )
    named = suite(*arguments, "--accelerator", "hpu", PATH=path)
    assert named.status == 5 and f"skipped: 1 case: {said}" in named.output


def test_a_model_that_does_not_fit_is_skipped_with_its_size(suite: Suite, scripted: Scripted) -> None:
    arguments = ["-k", "bloomz176b-1x-eager-kvcache", "--scale", "full", "-rs"]
    outcome = suite(*arguments, injected=scripted())
    assert re.search(r"352 GB of weights do not fit in 1 x [\d.]+ GB", outcome.output)


def test_collection_imports_no_torch() -> None:
    program = (
        "import sys, pytest\n"
        "status = pytest.main(['perf_tests', '--collect-only', '-q', '-p', 'no:cacheprovider'])\n"
        "heavy = {'torch', 'transformers', 'deepspeed', 'numpy', 'scipy', 'pandas', 'rich'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else int(status))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("keyword", "arguments", "on"),
    [
        ("bloomz560m", ["perf_tests"], True),
        ("", ["perf_tests/test_latency.py::test_latency[bloomz560m-1x-eager-kvcache]"], True),
        ("bloomz", ["perf_tests"], False),
        ("", ["/srv/560/perf_tests"], False),
    ],
)
def test_a_model_is_named_by_what_selects_tests(keyword: str, arguments: list[str], on: bool) -> None:
    config = SimpleNamespace(args=arguments, getoption={"keyword": keyword}.get)
    assert named("bloomz560m", config) is on  # type: ignore[arg-type]
