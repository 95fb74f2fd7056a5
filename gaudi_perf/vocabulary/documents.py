"""Documents are frozen msgspec structs: one is valid as a whole, or the error names the field in a sentence."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from typing import Annotated, Any, TypeVar

import msgspec

from gaudi_perf.vocabulary.errors import UserError
from gaudi_perf.vocabulary.formats import escaped

LARGEST_INT = 2**63 - 1
"""What readers in other languages, and pandas, can hold."""

Seconds = Annotated[float, msgspec.Meta(gt=0)]
"""A duration in seconds."""
Bytes = Annotated[int, msgspec.Meta(ge=0, le=LARGEST_INT)]
Count = Annotated[int, msgspec.Meta(ge=0, le=LARGEST_INT)]
PositiveInt = Annotated[int, msgspec.Meta(ge=1, le=LARGEST_INT)]
TokenId = Annotated[int, msgspec.Meta(ge=0, le=LARGEST_INT)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
"""A short text that people read: a version, a device, a component."""
LONGEST_TEXT = 2000
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST_TEXT)]
"""What people write in a sentence or two: a reason, a note."""
Slug = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9._-]{0,79}\Z")]
"""A name that is also the name of a directory, for instance ``gaudi2`` or ``a100-80gb``."""

DocumentT = TypeVar("DocumentT")
KeyT = TypeVar("KeyT", bound=Hashable)

_WIDTH = 110
"""Columns of an encoded document; a list of a hundred latencies takes a few lines, not a hundred."""


class Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of all documents; unknown fields are refused when decoded."""


def decode(
    data: bytes | str,
    kind: type[DocumentT],
    source: str,
    upgrade: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
) -> DocumentT:
    """Decode JSON as one document.
    Raises UserError if the data is not JSON, is not such a document, or has a key twice; the sentence names the source
    and the field or the line.

    Args:
        source: what to call the data in an error, usually the file's path.
        upgrade: makes plain values of this version of those of an earlier version.
    """
    data = data.encode(errors="surrogatepass") if isinstance(data, str) else data
    try:
        if upgrade is None:
            document = msgspec.json.decode(data, type=kind)
        else:
            value = msgspec.json.decode(data)
            document = msgspec.convert(_upgraded(value, upgrade) if isinstance(value, dict) else value, kind)
        require_unique_keys(data)
        return document
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:  # ValidationError is a DecodeError
        reason = _conflict(data) or _other_schema(data, kind, upgrade) or sentence(error)
        title = str(getattr(kind, "__name__", "message")).lower()
        raise UserError(f"{source}: not a valid {title} document: {reason}") from None


def decode_toml(data: bytes, kind: type[DocumentT], source: str, what: str, remedy: str = "") -> DocumentT:
    """Decode TOML as a value of a type; ``UserError`` names the source, what it is not, and the field or the line."""
    try:
        _require_quick(data)
        return msgspec.toml.decode(data, type=kind)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:  # of a number of 5,000 digits a bare ValueError
        clause = _conflict(data) or sentence(error)
        raise UserError(f"{source}: not a valid {what}: {clause}{f': {remedy}' if remedy else ''}") from None


def _upgraded(value: dict[str, Any], upgrade: Callable[[dict[str, Any]], dict[str, Any]]) -> dict[str, Any]:
    try:
        return upgrade(value)
    except KeyError as error:
        raise msgspec.ValidationError(f"Object of schema {value.get('schema')!r} lacks {error}") from None
    except (TypeError, AttributeError, ValueError, OverflowError):
        raise msgspec.ValidationError(f"Object of schema {value.get('schema')!r} has a field of another type") from None


def is_word(text: str) -> bool:
    """Whether it can stand on a line beside others: there is something, and no blank, line break or control code."""
    return bool(text) and text.isprintable() and " " not in text


def require_unique_keys(data: bytes, first_line: int = 1) -> None:
    """Raise ValidationError where an object of valid JSON has a key twice, of which a decoder takes the last: a merge
    that kept both lines. The sentence counts lines from the first one's number.
    """
    if msgspec.json.format(data, indent=-1) == msgspec.json.encode(msgspec.json.decode(data)):
        return  # as most documents are: a key that is there twice would make the first longer
    objects: list[dict[str, int] | None] = []  # the keys so far of those that are open, with their lines; None: a list
    key = False
    for match in _TOKEN.finditer(data):
        token = match.group()
        keys = objects[-1] if objects else None
        if token in b"{[":
            objects.append({} if token == b"{" else None)
            key = token == b"{"
        elif token in b"}]":
            objects.pop()
            key = False
        elif token in b",:":
            key = token == b"," and keys is not None
        elif key and keys is not None:
            name = msgspec.json.decode(token, type=str)
            line = first_line - 1 + _line(data, match.start())
            if name in keys:
                raise msgspec.ValidationError(
                    f"line {line}: the key {name[:80]!r} stands on line {keys[name]} already: keep one of them"
                )
            keys[name] = line


def repeated(keys: Iterable[KeyT]) -> KeyT | None:
    """The first of the keys that is there more than once; None if each is there once."""
    return next((key for key, count in Counter(keys).items() if count > 1), None)


def object_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON that others wrote, for ``json.loads``; ValueError if a key is there twice."""
    if (name := repeated(key for key, _ in pairs)) is not None:
        raise ValueError(f"the key {name[:80]!r} is there more than once: keep one of them")
    return dict(pairs)


def encode(document: msgspec.Struct | dict[str, Any]) -> bytes:
    """Encode a document, or its plain values, as JSON for people, in the order of its fields, with a last newline. What
    fits on a line stands on one line, and lists of numbers fill their lines, so that a diff is short to read.
    Raises UserError if a text, a name of a file perhaps, is not UTF-8.
    """
    try:
        return (_block(msgspec.to_builtins(document), 0) + "\n").encode()
    except UnicodeEncodeError as error:
        raise _no_text(error) from None


def encode_line(document: msgspec.Struct) -> bytes:
    """Encode a document as one line of JSON, newline included; raises what ``encode`` does."""
    try:
        return msgspec.json.encode(document) + b"\n"
    except UnicodeEncodeError as error:
        raise _no_text(error) from None


def _no_text(error: UnicodeEncodeError) -> UserError:
    return UserError(f"{escaped(error.object[:80])}: is not UTF-8: write it, or name the file, in UTF-8")


def fits(value: object, kind: Any) -> bool:
    """Whether a value is of a type of documents, for instance a text a ``Slug``."""
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return False
    return True


def _require_quick(data: bytes) -> None:
    """Raise ValueError where TOML would take long: for a key of n parts its reader needs n * n steps."""
    if len(data) > _LARGEST_TOML:
        raise ValueError(f"it has more than {_LARGEST_TOML >> 20} MiB")
    for number, line in enumerate(data.splitlines(), 1):
        if line.count(b".") > _MOST_DOTS:
            raise ValueError(f"line {number} has more than {_MOST_DOTS} dots: break it")


_LARGEST_TOML, _MOST_DOTS = 1 << 20, 200
_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\],:]')
_CONFLICT = re.compile(rb"^(<{7}|={7}|>{7})(?=[ \r\n]|\Z)", re.MULTILINE)


def _line(data: bytes, position: int) -> int:
    return data.count(b"\n", 0, position) + 1


def _conflict(data: bytes) -> str:
    """Where the first marker of an unfinished merge stands; empty without one. No line of JSON begins like that."""
    match = _CONFLICT.search(data)
    if match is None:
        return ""
    marker = match.group().decode()
    return f"line {_line(data, match.start())} is a conflict marker of a merge ({marker}): resolve the conflict"


class _AnySchema(msgspec.Struct):
    schema: str


def _other_schema(data: bytes, kind: type, upgrade: Callable[[dict[str, Any]], dict[str, Any]] | None) -> str:
    """Why a document of a newer or of another schema cannot be read, which says more than its first odd field."""
    if "schema" not in getattr(kind, "__struct_fields__", ()):
        return ""
    try:
        theirs = msgspec.json.decode(data, type=_AnySchema).schema
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return ""
    expected = next(field.default for field in msgspec.structs.fields(kind) if field.name == "schema")
    name, _, number = str(expected).rpartition("/")
    earlier = [f"{name}/{earlier}" for earlier in range(1, int(number))] if upgrade is not None else []
    if theirs in (expected, *earlier):
        return ""
    return f"schema is {theirs[:80]!r}, and this release of gaudi-perf reads {expected!r} - `$.schema`"


def sentence(error: Exception) -> str:
    """What an error says, on a line, else its kind; what a document holds of control characters is shown as escapes."""
    return escaped((" ".join(str(error).split()) or type(error).__name__)[:400])


def _inline(value: Any) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=0).decode()


def _block(value: Any, indent: int, before: int = 0) -> str:
    """A value as text: on one line if it fits behind ``before`` columns, and never the whole document."""
    inline = _inline(value)
    if not isinstance(value, (dict, list)) or not value or (indent > 0 and indent + before + len(inline) < _WIDTH):
        return inline
    deeper = indent + 2
    if isinstance(value, dict):
        names = {_inline(key): item for key, item in value.items()}
        lines = [f"{name}: {_block(item, deeper, len(name) + 2)}" for name, item in names.items()]
    elif any(isinstance(item, (dict, list)) for item in value):
        lines = [_block(item, deeper) for item in value]
    else:
        lines = _filled([_inline(item) for item in value], _WIDTH - deeper)
    separator = f",\n{' ' * deeper}"
    return f"{inline[0]}\n{' ' * deeper}{separator.join(lines)}\n{' ' * indent}{inline[-1]}"


def _filled(items: list[str], width: int) -> list[str]:
    lines = items[:1]
    for left, item in enumerate(items[1:], 2 - len(items)):
        longer = f"{lines[-1]}, {item}"
        if len(longer) + (left < 0) <= width:  # a comma follows all but the last
            lines[-1] = longer
        else:
            lines.append(item)
    return lines
