"""What hl-smi prints, and what it must not be able to do to us."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from gaudi_perf.accelerators import host
from gaudi_perf.accelerators.hpu.accelerator import HpuAccelerator
from gaudi_perf.accelerators.hpu.hl_smi import processes_in, query
from gaudi_perf.vocabulary.telemetry import DeviceProcess

# A device's own lines must not read as processes.
TABLE = """\
|   0  HL-225              N/A  | 0000:9a:00.0     N/A |                   0  |
| N/A   22C   N/A  96W /  600W  | 17538MiB /  98304MiB |     0%           17% |
|-------------------------------+----------------------+----------------------+
| Compute Processes:                                               AIP Memory |
|  AIP       PID   Type   Process name                             Usage      |
|=============================================================================|
{row}
|   1        N/A   N/A    N/A                                      N/A        |
+=============================================================================+
"""


@pytest.mark.parametrize(
    ("row", "pid", "name", "mib"),
    [
        ("|   0        10    C      python name                              1024MiB    |", 10, "python name", 1024),
        ("|   0       107684     C   python3                                 16770MiB    ", 107684, "python3", 16770),
    ],
    ids=["1.18", "1.16 and 1.20"],
)
def test_processes_with_and_without_the_closing_bar(row: str, pid: int, name: str, mib: int) -> None:
    assert processes_in(TABLE.format(row=row)) == [DeviceProcess(device=0, pid=pid, name=name, memory_bytes=mib << 20)]


def test_no_processes() -> None:
    assert processes_in(TABLE.format(row="|   0        N/A   N/A    N/A      N/A        |")) == []
    assert processes_in("") == []


@pytest.fixture
def hl_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes hl-smi a shell script."""

    def make(script: str) -> None:
        program = tmp_path / "hl-smi"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)

    return make


@pytest.mark.parametrize(
    ("board", "name"),
    [
        *[("HL-205", "gaudi"), ("HL-225", "gaudi2"), ("HL-225D", "gaudi2"), ("HL-288E", "gaudi2")],
        *[("HL-325L", "gaudi3"), ("HL-335", "gaudi3"), ("HL-338", "gaudi3"), ("HL-388", "gaudi3")],
        ("HL-455X", "hl-455x"),  # not known: nothing of another generation is compared with it
    ],
)
def test_boards(board: str, name: str, hl_smi: Callable[[str], None]) -> None:
    hl_smi(f"printf '{board}, {board}, 98304\\n{board}, {board}, 98304\\n'")
    found = HpuAccelerator().find()
    assert found is not None
    assert (found.name, found.count, found.memory_bytes) == (name, 2, 98304 << 20)


def test_a_message_is_no_device(hl_smi: Callable[[str], None]) -> None:
    hl_smi("echo 'Failed to initialize, no device, see dmesg'; echo 'HL-225, HL-225, 98304'; echo 'error, 1, 2'")
    assert query("name", "memory.total") == [["HL-225", "98304"]]
    hl_smi("echo 'Failed to initialize, no device, see dmesg'")
    assert HpuAccelerator().find() is None


@pytest.mark.parametrize(
    "script",
    [
        "exec yes 'HL-225, HL-225, 98304'",  # would never end
        "exec tr '\\0' x < /dev/zero",
        "head -c 200000 /dev/zero | tr '\\0' 1; echo",  # a line of 200,000 digits
        "printf '|  0  1  C'; head -c 300000 /dev/zero | tr '\\0' ' '; echo '1MiB |'",
    ],
)
def test_what_is_too_long_is_no_answer(script: str, hl_smi: Callable[[str], None]) -> None:
    hl_smi(f"echo Compute Processes; {script}")
    assert query("name", "memory.total") == []
    assert processes_in(host.output_of("hl-smi")) == []


def test_a_number_of_5000_digits_is_none(hl_smi: Callable[[str], None]) -> None:
    hl_smi("printf 'HL-225, HL-225, '; head -c 3000 /dev/zero | tr '\\0' 1; echo")
    found = HpuAccelerator().find()
    assert found is not None
    assert found.memory_bytes is None
    row = f"|   0  {'1' * 300}  C  python  1MiB |"
    assert processes_in(TABLE.format(row=row)) == []


def test_a_program_that_never_answers_is_ended(
    hl_smi: Callable[[str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "_OUTPUT_S", 0.3)
    hl_smi(f"echo $$ > {tmp_path}/pid; echo HL-225, HL-225, 1; sleep 600")
    assert query("name", "memory.total") == []
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)
