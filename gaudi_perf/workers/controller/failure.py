"""What a worker group that cannot go on raises."""

from __future__ import annotations

from pathlib import Path


class GroupFailure(Exception):
    """A worker group died, went silent or reported a fault.

    Attributes:
        phase: what it was doing.
        sentence: what happened.
        log: the last lines of its log.
        mistake: whether a person can mend it (a wrong path of weights), in which case the log adds nothing.
        log_path: where the whole log is, for as long as the session's private directory; None if there is none, or for
            a mistake.
    """

    def __init__(self, phase: str, sentence: str, log: str = "", mistake: bool = False) -> None:
        super().__init__(sentence)
        self.phase = phase
        self.sentence = sentence
        self.log = log
        self.mistake = mistake
        self.log_path: Path | None = None
