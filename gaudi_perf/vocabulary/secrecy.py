"""What may be a secret: it stands in no command line, no log and no document."""

from __future__ import annotations

import re
from collections.abc import Mapping

SECRET_NAME = re.compile(r"TOKEN(?!IZERS)|SECRET|PASSWORD|CREDENTIAL|_KEY\b", re.IGNORECASE)
"""Found in the name of an environment variable that may hold one."""
_SHORTEST = 6  # characters; shorter values stand everywhere by chance
_SECRETS = (
    re.compile(r"\bhf_[A-Za-z0-9]{8,}"),  # tokens of the Hugging Face hub
    re.compile(r"(?<=Bearer )\S+"),
    re.compile(r"(?<=://)[^/\s:@]+:[^/\s@]+(?=@)"),  # user and password of an address
)
_HIDDEN = "***"


def without_secrets(text: str, environment: Mapping[str, str]) -> str:
    """A text without the values of variables that may hold a secret, and without what looks like one."""
    values = [value for name, value in environment.items() if SECRET_NAME.search(name)]
    for value in sorted(values, key=len, reverse=True):
        if len(value) >= _SHORTEST:
            text = text.replace(value, _HIDDEN)
    for pattern in _SECRETS:
        text = pattern.sub(_HIDDEN, text)
    return text
