"""Reference probes: fixed work, repeated in proportion to the rounds, reported as the mean of one piece."""

from __future__ import annotations

import pytest

from gaudi_perf.workers.rank.probes import LONGEST_S, SHARE, SHORTEST_S, HostProbe


class Simulated(HostProbe):
    """A probe on a clock of its own, whose pieces take what they are set to."""

    def __init__(self, piece_s: float) -> None:
        self.now = 0.0
        self.piece_s = piece_s
        self.pieces = 0
        super().__init__(clock=lambda: self.now)

    def _piece(self) -> None:
        self.pieces += 1
        self.now += self.piece_s

    def after(self, round_s: float) -> tuple[float, float]:
        """The probe after a round: what it reports, and how long it took."""
        self.now += round_s
        begin = self.now
        return self.seconds(), self.now - begin


@pytest.mark.parametrize("piece_s", [0.0001, 0.0003, 0.0005])
@pytest.mark.parametrize("round_s", [0.0, 0.01, 0.1, 1.0, 4.0])
def test_a_probe_takes_a_twentieth_of_its_round(round_s: float, piece_s: float) -> None:
    probe = Simulated(piece_s)
    probe.after(round_s)
    reported, took = probe.after(round_s)
    assert reported == pytest.approx(piece_s)
    assert took == pytest.approx(max(SHARE * round_s, SHORTEST_S), abs=2 * piece_s)


def test_a_pause_makes_no_endless_probe() -> None:
    probe = Simulated(0.0003)
    _, took = probe.after(3600.0)
    assert took == pytest.approx(LONGEST_S, abs=0.001)


def test_a_slower_machine_shows_in_full_whatever_the_length() -> None:
    probe = Simulated(0.0003)
    quiet, _ = probe.after(0.1)
    probe.piece_s = 0.0006
    short, _ = probe.after(0.1)
    long, _ = probe.after(3.0)
    assert quiet == pytest.approx(0.0003)
    assert [short, long] == pytest.approx([0.0006, 0.0006])


def test_the_number_of_pieces_does_not_depend_on_how_slow_they_are() -> None:
    """A single slow piece counts for one, and is not the last one because it is slow."""
    probe = Simulated(0.0003)
    probe.after(0.1)
    before = probe.pieces
    probe.after(0.1)
    usual = probe.pieces - before
    probe.piece_s = 0.003
    before = probe.pieces
    probe.after(0.1)
    assert probe.pieces - before == usual


def test_the_real_one_measures_something() -> None:
    probe = HostProbe()
    assert all(0 < probe.seconds() < 1 for _ in range(5))
