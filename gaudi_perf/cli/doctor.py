"""``gaudi-perf doctor``: is this machine fit to measure?"""

from __future__ import annotations

import click

from gaudi_perf.accelerators import accelerator_named, preferred
from gaudi_perf.accelerators.health import HostFacts, diagnosis
from gaudi_perf.cli.common import Command, echo, echo_json, echo_table, json_option
from gaudi_perf.vocabulary.formats import counted

_STYLES = {"ok": "green", "warning": "yellow", "unfit": "bold red", "unknown": "cyan"}


@click.command(cls=Command)
@click.option(
    "--accelerator",
    metavar="NAME",
    default="auto",
    show_default=True,
    help="What is to be measured with: hpu, cuda, cpu, or another of pytest's --accelerator; auto is a Gaudi where its "
    "software is installed, else a GPU, else the CPU.",
)
@click.option("--strict", is_flag=True, help="Exit status 1 for warnings, too.")
@json_option
def doctor(accelerator: str, strict: bool, as_json: bool) -> None:
    """Check whether this machine is fit to measure, and report what to do if it is not.

    Looks at the devices, the versions of driver, plug-in, PyTorch and optimum-habana, lazy mode, other processes on the
    devices, throttling, huge pages, the frequency governor, memory, load, hypervisor steal, and the C++ compiler; on
    NVIDIA's GPUs also at persistence mode and clocks (by nvidia-ml-py, the cuda extra). Each finding has its remedy.
    Nothing is changed. Exit status 1 if anything is unfit.

    Examples:
      gaudi-perf doctor
      gaudi-perf doctor --accelerator hpu --strict && pytest perf_tests
      gaudi-perf doctor --json
    """
    auto = accelerator == "auto"
    looked_at = next(one for one in preferred() if one.installed()) if auto else accelerator_named(accelerator)
    found = diagnosis(looked_at.name, looked_at.health(), HostFacts.gather())
    warnings = sum(item.status == "warning" for item in found.findings)
    if as_json:
        echo_json(found)
    else:
        echo_table(
            ("check", "status", "found"),
            [(item.check, (item.status, _STYLES[item.status]), item.found) for item in found.findings],
        )
        for item in found.findings:
            if item.remedy and item.status != "ok":
                echo(f"{item.check}: {item.remedy}")
        fit = "fit" if found.fit else "not fit"
        echo(f"{fit} to measure with {found.accelerator}, {counted(warnings, 'warning')}")
    if not found.fit or (strict and warnings):
        raise click.exceptions.Exit(1)
