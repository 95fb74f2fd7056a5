"""What the values of options mean, for pytest and the command line alike.

Each function raises ValueError with a sentence's end that says what the option takes: ``it takes a whole number``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from gaudi_perf.protocol import Weights
from gaudi_perf.stores.files import is_utf8, read_bytes
from gaudi_perf.stores.remote import checked, is_address, opened
from gaudi_perf.vocabulary.configuration import MODES, Mode
from gaudi_perf.vocabulary.documents import LONGEST_TEXT
from gaudi_perf.vocabulary.metrics import LATENCY, TITLES, Metric
from gaudi_perf.vocabulary.workload import DTYPE_NAMES, LONGEST_PROMPT, OPTION_FIELDS, Workload

AUTO = 0
"""What ``runs`` makes of ``auto``."""

_METRICS: dict[str, Metric] = {str(metric): metric for metric in TITLES}

_MOST = 10**9
"""The largest number that an option takes: clocks and documents hold it."""


def choice(names: Iterable[str]) -> Callable[[str], str]:
    """A parser of one of these names."""

    def parse(text: str) -> str:
        if text not in names:
            raise ValueError(f"it takes one of {', '.join(names)}")
        return text

    return parse


def flag(text: str) -> bool:
    """Whether an option without a value was asked for by its environment variable."""
    if text.lower() not in ("1", "true", "yes", "0", "false", "no"):
        raise ValueError("it takes 1 or 0")
    return text.lower() in ("1", "true", "yes")


def positive_integer(text: str, meaning: str = f"it takes a whole number from 1 to {_MOST}") -> int:
    """A whole number from 1."""
    if not (text.isdecimal() and len(text) < 20 and 1 <= int(text) <= _MOST):
        raise ValueError(meaning)
    return int(text)


def runs(text: str) -> int:
    """A number of runs, or ``AUTO``."""
    return AUTO if text == "auto" else positive_integer(text, "it takes a whole number from 1, or auto")


def positive_number(text: str) -> float:
    """A number above 0."""
    value = _number(text)
    if value is None or not 0 < value <= _MOST:
        raise ValueError(f"it takes a number above 0, at most {_MOST}")
    return value


def share(text: str, most: float = 1.0) -> float:
    """A share below ``most``: ``5%`` and ``0.05`` are the same, and a ``5`` that may mean either is refused.

    One of 1 or more can be written in percent only.
    """
    number, percent = text.strip(), text.rstrip().endswith("%")
    value = _number(number.removesuffix("%"))
    if value is not None:
        value = round(value / 100 if percent else value, 12)
    if value is None or not 0 < value < (most if percent else 1):
        what = "a share above 0 and below 1" if most == 1 else f"a share above 0 % and below {most * 100:g} %"
        meant = value if value is not None and not percent and 1 <= value < 100 else 5
        raise ValueError(f"it takes {what}: write {meant:g}% or {meant / 100:g}")
    return value


def tolerances(text: str) -> dict[Metric, float]:
    """``5%`` for the latency, or ``latency=5%,memory=2%``."""
    found: dict[Metric, float] = {}
    for part in text.split(","):
        name, equals, value = part.strip().rpartition("=")
        name = name if equals else LATENCY
        _refuse_throughput(name)
        if name not in _METRICS or _METRICS[name] in found:
            raise ValueError(f"it takes a share, or METRIC=SHARE with each metric once: {', '.join(TITLES)}")
        found[_METRICS[name]] = share(value)
    return found


def gates(text: str) -> frozenset[Metric]:
    """``latency,memory``, or ``all``."""
    names = [part.strip() for part in text.split(",")]
    if names == ["all"]:
        return frozenset(TITLES)
    _refuse_throughput(*names)
    if not all(name in _METRICS for name in names):
        raise ValueError(f"it takes all, or some of {', '.join(TITLES)}")
    return frozenset(_METRICS[name] for name in names)


def _refuse_throughput(*metrics: str) -> None:
    if "throughput" in metrics:
        raise ValueError(
            "throughput is batch x new tokens / latency, so that its verdict is that of the latency: name latency"
        )


def device_counts(text: str) -> tuple[int, ...]:
    """The counts of ``1,8``, in order."""
    meaning = "it takes device counts like 1,8"
    return tuple(sorted({positive_integer(part.strip(), meaning) for part in text.split(",")}))


def modes(text: str) -> tuple[Mode, ...]:
    """The modes of ``graphs,compile``, each once."""
    found = tuple(mode for mode in MODES if mode in names(text))
    if len(found) != len(names(text)):
        raise ValueError(f"it takes some of {', '.join(MODES)}")
    return found


def _prompts_in(file: Path, several: bool) -> str | tuple[str, ...]:
    """What a file holds: one prompt, or several, one a line."""
    if not file.is_file():
        raise ValueError(f"{file}: there is no such file")
    try:
        text = read_bytes(file, 4 * LONGEST_PROMPT).decode().strip("\n")  # of at most four bytes a character
    except UnicodeDecodeError as error:
        raise ValueError(f"{file}: byte {error.start + 1} is no UTF-8: save it as UTF-8") from None
    lines = tuple(line for line in text.splitlines() if line.strip())
    if not lines or len(text) > LONGEST_PROMPT:
        raise ValueError(f"{file}: has {len(text)} characters, and prompts take 1 to {LONGEST_PROMPT}")
    return lines if several and len(lines) > 1 else lines[0] if several else text


def workloads(text: str) -> tuple[Mapping[str, Any], ...]:
    """``batch=4,prompt=1024,new=256;batch=8``: workloads, each by the fields that are not the default."""
    return tuple(_workload(part) for part in text.split(";"))


def _workload(text: str) -> Mapping[str, Any]:
    meaning = (
        "it takes batch=N,prompt=N,new=N,dtype=bf16|fp16|fp32|fp8|fp8kv,beams=N,contrastive=ALPHA:K,prompt-file=FILE "
        "or prompts-file=FILE, each once, and ; between workloads; beams are 2 to 64, or a contrastive search has "
        "ALPHA between 0 and 1 and K from 2 to 1000"
    )
    found: dict[str, Any] = {}
    for part in text.split(","):
        name, _, value = (word.strip() for word in part.partition("="))
        if name == "contrastive" and "penalty_alpha" not in found:
            alpha, _, k = value.partition(":")
            found |= {"penalty_alpha": _number(alpha), "top_k": positive_integer(k, meaning)}
            continue
        if name in ("prompt-file", "prompts-file") and "prompt" not in found:
            found["prompt"] = _prompts_in(Path(value), several=name == "prompts-file")
            continue
        field = OPTION_FIELDS.get(name)
        if field is None or field in found or (field == "dtype" and value not in DTYPE_NAMES):
            raise ValueError(meaning)
        found[field] = DTYPE_NAMES[value] if field == "dtype" else positive_integer(value, meaning)
    try:
        msgspec.convert(found, Workload)
    except msgspec.ValidationError:
        raise ValueError(meaning) from None
    return found


def names(text: str) -> tuple[str, ...]:
    """The names of ``a,b``, each once."""
    found = tuple(dict.fromkeys(part.strip() for part in text.split(",")))
    if not all(found):
        raise ValueError("it takes names, with a comma between two")
    return found


def reason(text: str) -> str:
    """Why people accept something."""
    if not text.strip() or len(text) > LONGEST_TEXT or not is_utf8(text):
        raise ValueError(f"it takes a reason in words, at most {LONGEST_TEXT} characters")
    return text


def weights(text: str) -> Weights:
    """Where weights come from."""
    if text in ("dummy", "hub"):
        return Weights(kind="dummy" if text == "dummy" else "hub")
    if not text or not Path(text).expanduser().is_dir():
        raise ValueError("it takes dummy, hub, or a directory that exists")
    return Weights(kind="path", path=str(Path(text).expanduser().resolve()))


def path(text: str) -> Path:
    """A path, from where the command was called."""
    if not text:  # as of a variable of the shell that is not set: pathlib takes it for the working directory
        raise ValueError("it takes a path, and this one is empty")
    return Path(text).absolute()


def _path(accepted: Callable[[Path], bool], meaning: str) -> Callable[[str], Path]:
    def parse(text: str) -> Path:
        if not accepted(path(text)):
            raise ValueError(meaning)
        return path(text)

    return parse


file = _path(Path.is_file, "there is no such file")
_local_directory = _path(lambda one: one.is_dir() or not one.exists(), "there is no such directory")


def directory(text: str) -> Path:
    """A directory to read or write, which may be made; of an address the copy on this machine, brought up to date."""
    return opened(checked(text)) if is_address(text) else _local_directory(text)


new_file = _path(lambda one: not one.is_dir() and one.parent.is_dir(), "it takes a file in a directory that is there")
"""A file to write; that its directory is there is asked now, not after hours of measuring."""


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
