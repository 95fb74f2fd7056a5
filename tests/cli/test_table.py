from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gaudi_perf.reports.article import parse_price, usd_per_million_tokens
from gaudi_perf.reports.text import Words, markdown
from gaudi_perf.stores.baselines import BaselineStore
from gaudi_perf.stores.refresh import Refresh, apply, plan_refresh
from gaudi_perf.vocabulary.errors import UserError
from tests.cli.conftest import PROJECT, PUBLISHED, Invoke
from tests.golden_files import Golden
from tests.stores.factories import make_runs


def _cells(output: str, *parts: str) -> list[str]:
    rows = [line.split() for line in output.splitlines() if all(part in line.split() for part in parts)]
    assert len(rows) == 1, output
    return rows[0]


def test_the_articles_table(invoke: Invoke, project: Path, golden: Golden) -> None:
    """Its numbers: 3.717 s on 8 Gaudi2 (1.2x an A100), 0.737 s (3x); no dollars without a price."""
    done = invoke("table")
    assert {"3.717", "1.18x"} <= set(_cells(done.output, "BLOOMZ", "8x", "gaudi2", "synapse-1.8.0"))
    assert {"0.737", "3.28x"} <= set(_cells(done.output, "BLOOMZ-7B", "8x", "gaudi2", "synapse-1.8.0"))
    invoke("table", "--stack", "1.8.0", "--markdown")
    invoke("table", "--device", "gaudi2", "--newest")
    golden("table/article.txt", invoke.transcript)


def test_dollars_for_a_million_tokens(invoke: Invoke, project: Path, golden: Golden) -> None:
    done = invoke("table", "--dollars-per-hour", "gaudi=13.10904", "--dollars-per-hour", "gaudi2=10")
    # 13.10904 $/h / 3600 s/h * 3.029 s / 100 tokens * 1e6
    assert "110.30" in _cells(done.output, "BLOOMZ-7B", "8x", "gaudi", "synapse-1.8.0")
    # one device of eight: 13.10904 / 8 / 3600 * 2.865 / 100 * 1e6
    assert "13.04" in _cells(done.output, "BLOOMZ-7B", "1x", "gaudi", "synapse-1.8.0")
    # 10 / 3600 * 3.103 / 100 * 1e6
    assert "86.19" in _cells(done.output, "BLOOMZ", "8x", "gaudi2", "synapse-1.10.0")
    assert _cells(done.output, "BLOOMZ", "8x", "a100-80gb")[-1] == "-"
    golden("table/dollars.txt", invoke.transcript)


def test_measured_levels_and_the_fastest_configuration(invoke: Invoke, here: Path, golden: Golden) -> None:
    runs = [
        *make_runs(2.0, device="a100-80gb", graphs=False),
        *make_runs(1.0, device="a100-80gb"),
        *make_runs(0.5, device="gaudi2"),
        *make_runs(0.8, device="gaudi2", kv_cache=False),
        *make_runs(0.01, device="gaudi2", model="bloomz560m", scale="standin"),
        *make_runs(0.01, device="emulated-gaudi2"),
    ]
    apply(plan_refresh(BaselineStore(here / "baselines"), Refresh(runs)))
    done = invoke("table")
    assert {"0.500", "2.00x"} <= set(_cells(done.output, "BLOOMZ-7B", "1x", "gaudi2"))
    everything = invoke("table", "--all").output
    assert "0.50x" in _cells(everything, "BLOOMZ-7B", "a100-80gb", "eager")
    golden("table/measured.txt", invoke.transcript)


def test_fp8_beside_bfloat16(invoke: Invoke, here: Path) -> None:
    """Rows and baselines of their own; the speed-up by FP8 is that of the same device and stack."""
    runs = [*make_runs(1.0), *make_runs(0.625, dtype="fp8"), *make_runs(1.5, device="a100-80gb")]
    apply(plan_refresh(BaselineStore(here / "baselines"), Refresh(runs)))
    rows = json.loads(invoke("table", "--json").output)["rows"]
    found = {(row["device"], row["dtype"]): (row["latency_s"], row["fp8_speed_up"]) for row in rows}
    assert found == {
        ("gaudi2", "bfloat16"): (1.0, None),
        ("gaudi2", "fp8"): (0.625, pytest.approx(1.6)),
        ("a100-80gb", "bfloat16"): (1.5, None),
    }
    assert {"0.625", "1.60x", "2.40x"} <= set(_cells(invoke("table").output, "BLOOMZ-7B", "fp8"))


def test_mistakes(invoke: Invoke, project: Path, here: Path, golden: Golden) -> None:
    published = ("--baselines-dir", project / "baselines")
    for option in ("--device", "--reference", "--stack"):
        invoke.mistake("table", option, "nope", *published)
    apply(plan_refresh(BaselineStore(here / "baselines"), Refresh(make_runs(scale="standin"))))
    invoke.mistake("table")  # nothing is left
    golden("table/mistakes.txt", invoke.transcript.replace(f" --baselines-dir {published[1]}", ""))


@pytest.mark.parametrize("price", ["gaudi2", "gaudi2=", "gaudi2=-3", "gaudi2=nan", "gaudi2=inf", "gaudi2=1/0", "=1"])
def test_wrong_price_is_one_sentence(price: str, invoke: Invoke) -> None:
    done = invoke("table", "--baselines-dir", PUBLISHED, "--dollars-per-hour", price)
    assert done.exit_code == 2 and f"--dollars-per-hour {price}: write a device" in done.output


def test_a_price_of_another_device_or_two_of_one(invoke: Invoke) -> None:
    price = ("table", "--baselines-dir", PUBLISHED, "--dollars-per-hour", "gaudi2=10", "--dollars-per-hour")
    assert "--dollars-per-hour gaudi3: there is no baseline of this device" in invoke(*price, "gaudi3=1").output
    assert "names a device more than once" in invoke(*price, "gaudi2=11").output


def test_a_closed_standard_output_is_no_mistake() -> None:
    command = [sys.executable, "-m", "gaudi_perf", "table", "--baselines-dir", str(PUBLISHED)]
    done = subprocess.run(["sh", "-c", 'exec "$@" >&-', "sh", *command], cwd=PROJECT, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@given(st.floats(0.01, 1000), st.integers(1, 16), st.floats(1e-3, 100))
def test_cost_is_that_of_the_time(usd: float, devices: int, latency: float) -> None:
    _, price = parse_price(f"gaudi2={usd!r}/{devices}")
    cost = usd_per_million_tokens(price, devices, latency, 100)
    assert cost == pytest.approx(usd / 3600 * latency * 1e4)


@given(st.text(max_size=20))
def test_any_text_is_a_price_or_a_mistake(text: str) -> None:
    try:
        assert parse_price(text)[1] > 0
    except UserError as error:
        assert "--dollars-per-hour" in str(error)


@given(st.text())
def test_markdown_cells_stay_in_their_cells(text: str) -> None:
    row = markdown(Words("", ("a", "b"), [(text, "x")])).splitlines()[2:]
    assert len(row) == 1
    assert row[0].replace("\\\\", "").replace("\\|", "").count("|") == 3
