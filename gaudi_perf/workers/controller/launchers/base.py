"""How a worker group is started."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Start:
    """A command, and the environment variables that it needs beyond the accelerator's.

    Attributes:
        ranks: how many processes hold the model; several are watched by keepers (``workers.rank.agent``).
        meeting: the socket at whose address ranks of several hosts meet. It is bound here and given to rank 0, so that
            nobody else can take its port in between.
    """

    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    ranks: int = 1
    meeting: socket.socket | None = None

    def prepare(self, environment: Mapping[str, str]) -> Mapping[str, str]:
        """Called with the whole environment before the command is run; returns the one that it is run in.

        Raises:
            UserError: the command cannot be run in it as asked.
        """
        return environment
