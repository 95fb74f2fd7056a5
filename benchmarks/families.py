"""Every family of models: whether its stand-in gives, in float32, the tokens of transformers' own ``generate``.

    python benchmarks/families.py                               # all families, here and on the emulated Gaudi
    python benchmarks/families.py --family llama,mixtral --accelerator cpu
    python benchmarks/families.py --write docs/models.md        # puts the table between the page's markers

Each accelerator has one worker group, to which the families' stand-ins are loaded in turn; what cannot be measured has
its reason below the table. ``--refused``: try what the suite would skip, too.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import UNSET

sys.path.insert(0, str(Path(__file__).parents[1]))  # where the emulated Gaudi is

from gaudi_perf import protocol
from gaudi_perf.accelerators import accelerator_named
from gaudi_perf.accelerators.base import Accelerator
from gaudi_perf.vocabulary.architectures import Architecture, standin_of
from gaudi_perf.vocabulary.configuration import Case, Configuration
from gaudi_perf.vocabulary.families import families
from gaudi_perf.vocabulary.gaudi_options import GaudiOptions
from gaudi_perf.vocabulary.workload import Workload
from gaudi_perf.workers.controller.group import GroupFailure, WorkerGroup, variant_of
from gaudi_perf.workers.controller.matrix import configurations, why_not
from gaudi_perf.workers.controller.plan import Deadlines
from gaudi_perf.workers.controller.workspace import Workspace
from tests.shapes import published

NEW = 40
"""New tokens: with the prompt more than the 32 positions of a window in stand-ins."""
EQUAL = "equal"
BEGIN, END = "<!-- families: begin -->", "<!-- families: end -->"
ACCELERATORS = ("cpu", "emulated-gaudi2")


def plain_tokens(built: Architecture, prompt: list[int]) -> list[int]:
    """What transformers' own ``generate`` makes of the prompt, in this process, which nothing else has changed."""
    import torch

    from gaudi_perf.generation.dummy import dummy_model
    from gaudi_perf.generation.plain import PlainGeneration

    tokens: list[int] = PlainGeneration(dummy_model(built, "float32"), NEW, True)(torch.tensor([prompt]))[0].tolist()
    return tokens


class Groups:
    """One worker group of an accelerator at a time; a new one after it failed."""

    def __init__(self, accelerator: Accelerator, directory: Path) -> None:
        self._accelerator, self._directory = accelerator, directory
        self._group: WorkerGroup | None = None
        self._number = 0

    def load(self, spec: protocol.GroupSpec) -> list[int]:
        """The model's prompt, once it is loaded; ``GroupFailure`` if it cannot be."""
        if self._group is None:
            self._number += 1
            directory = self._directory / str(self._number)
            self._group = WorkerGroup(spec, self._accelerator, directory, Deadlines(round=300.0))
            self._group.start()
        return self._group.ask(protocol.Load(group=spec), protocol.Loaded, phase="load").prompt_ids

    def tokens(self, variant: protocol.Variant) -> list[int]:
        """Those of the second round, which replays what the first compiled or captured."""
        assert self._group is not None, "load() comes first"
        self._group.ask(protocol.Prepare(variant=variant), protocol.Prepared, phase="prepare")
        for _ in range(2):
            done = self._group.ask(protocol.Rounds(count=1), protocol.RoundsDone, phase="rounds")
        return done.token_ids

    def end(self) -> None:
        """End the group."""
        if self._group is not None:
            self._group.close()
            self._group = None


def results(
    family: str, accelerator: Accelerator, groups: Groups, arguments: argparse.Namespace
) -> Iterator[tuple[str, str]]:
    """Names of the variants, and ``EQUAL`` or the reason."""
    built = standin_of(published(family))
    spec = protocol.GroupSpec(
        engine=accelerator.name,
        model=family,
        devices=arguments.devices,
        scale="standin",
        dtype="float32",
        architecture=built,
    )
    found = accelerator.find()
    assert found is not None, accelerator.why_none()
    for configuration in configurations([family], [arguments.devices], ["graphs", "eager"]):
        if arguments.variants and column(configuration) not in arguments.variants.split(","):
            continue
        workload = Workload(new_tokens=NEW, dtype="float32")
        case = Case(
            configuration=configuration,
            accelerator=accelerator.kind,
            workload=workload,
            scale="standin",
            gaudi_options=options_of(built, configuration) if accelerator.gaudi_options else UNSET,
        )
        reason = why_not(case, built, accelerator, found)
        if reason and not arguments.refused:
            yield column(configuration), f"skipped: {reason}"
            continue
        try:
            prompt = groups.load(spec)
            expected, tokens = plain_tokens(built, prompt), groups.tokens(variant_of(case))
        except GroupFailure as failure:
            groups.end()
            yield column(configuration), f"fails: {failure}".splitlines()[0][:240]
            continue
        same = next((index for index in range(NEW) if tokens[index] != expected[index]), NEW)
        yield column(configuration), EQUAL if same == NEW else f"other tokens from number {same + 1}"


def options_of(built: Architecture, configuration: Configuration) -> GaudiOptions:
    """Those of the family by default."""
    given = built.of_family.gaudi_defaults
    return given.in_effect(graphs=configuration.graphs, kv_cache=configuration.kv_cache, dtype="float32")


def column(configuration: Configuration) -> str:
    """What a table calls a configuration of one device."""
    return configuration.id.split("-", 2)[2]


def table(rows: dict[str, dict[str, str]]) -> str:
    """A table in Markdown; reasons are notes below it."""
    columns = list(dict.fromkeys(name for row in rows.values() for name in row))
    notes: list[str] = []
    lines = ["| family | " + " | ".join(columns) + " |", "| --- " * (len(columns) + 1) + "|"]
    for family, row in rows.items():
        cells = []
        for name in columns:
            result = row.get(name, "")
            if result not in (EQUAL, ""):
                notes += [] if result in notes else [result]
                result = f"({notes.index(result) + 1})"
            cells.append(result)
        lines.append(f"| {family} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", *(f"{number}. {note}" for number, note in enumerate(notes, 1))]).rstrip()


def written(page: str, made: str) -> str:
    """The page with the table between its markers."""
    return re.sub(f"(?<={BEGIN}\n).*(?={END})", lambda _: f"\n{made}\n\n", page, flags=re.DOTALL)


@contextmanager
def groups_of(accelerator: Accelerator) -> Iterator[Groups]:
    workspace = Workspace()
    groups = Groups(accelerator, workspace.path)
    try:
        yield groups
    finally:
        groups.end()
        workspace.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--family", default=",".join(families()), help="default: all")
    parser.add_argument("--accelerator", default=",".join(ACCELERATORS), help="default: %(default)s")
    parser.add_argument("--devices", type=int, default=1, help="among which models are divided (default: 1)")
    parser.add_argument("--variants", default="", help="for instance eager-kvcache; default: all four")
    parser.add_argument("--refused", action="store_true", help="try what the suite would skip, too")
    parser.add_argument("--write", type=Path, help="a page with the markers of the table")
    arguments = parser.parse_args()
    rows: dict[str, dict[str, str]] = {family: {} for family in arguments.family.split(",")}
    for name in arguments.accelerator.split(","):
        accelerator = accelerator_named(name, processes=arguments.devices)
        with groups_of(accelerator) as groups:
            for family in rows:
                for variant, result in results(family, accelerator, groups, arguments):
                    rows[family][f"{name.split('-')[0]} {variant}"] = result
                    print(f"{family:14} {name:16} {variant:16} {result}", file=sys.stderr, flush=True)
    made = table(rows)
    print(made)
    if arguments.write:
        arguments.write.write_text(written(arguments.write.read_text(), made))


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")
    main()
