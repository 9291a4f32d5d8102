"""The phases a vehicle uses, where its station tells power alone: no count is taken by chance."""

import pytest

from gateway.control.state import ConnectorBelief
from gateway.domain.events import ConnectorMetered
from tests.support.one_circuit import OneCircuit, ref

VOLTAGE_V = 230.0


class Told:
    """A vehicle at a proven station wired to three phases that tells power alone."""

    def __init__(self) -> None:
        self.board = OneCircuit()
        self.board.prove(1)
        self.board.leave(1)
        self.board.plug_in(1)

    def belief(self) -> ConnectorBelief:
        """Return what is known of the vehicle."""
        return self.board.state.connectors[0]

    def draw(self, limit_ma: int | None, total_a: float) -> None:
        """Tell a limit, if any, and the power of what settles under it on all phases together."""
        board = self.board
        if limit_ma is not None:
            board.now_s += 10.0
            board.send(1, limit_ma)
        for _ in range(2):
            board.now_s += 20.0
            board.learn(
                ConnectorMetered(
                    at_s=board.now_s,
                    connector=ref(1),
                    current_a=(None, None, None),
                    power_w=total_a * VOLTAGE_V,
                )
            )

    def is_over(self) -> bool:
        """Return whether it is counted, or told to people, as one that does not obey."""
        return self.board.seen().overdrawn[0] or self.belief().above is not None


@pytest.mark.parametrize("limit_ma", [20_000, 24_000, 32_000])
def test_who_took_less_than_its_limit_and_is_cut_is_not_said_to_disobey(limit_ma: int) -> None:
    told = Told()
    told.draw(limit_ma, 3 * 15.9)

    told.draw(6_000, 3 * 5.9)

    assert not told.is_over()


@pytest.mark.parametrize("phase_count", [1, 2, 3])
def test_a_draw_that_went_with_its_limit_tells_its_phases(phase_count: int) -> None:
    told = Told()
    told.draw(16_000, phase_count * 15.6)
    told.draw(10_000, phase_count * 9.6)

    assert told.belief().fit.count == phase_count


@pytest.mark.parametrize("phase_count", [1, 2, 3])
def test_who_is_known_by_its_phases_and_draws_more_is_said_to_disobey(phase_count: int) -> None:
    told = Told()
    told.draw(16_000, phase_count * 15.6)
    told.draw(10_000, phase_count * 9.6)

    told.draw(6_000, phase_count * 9.6)

    assert told.is_over()


def test_a_draw_that_stays_is_of_no_count_however_many_limits_it_fits() -> None:
    told = Told()
    for limit_ma in (24_000, 26_000, 22_800):
        told.draw(limit_ma, 3 * 16.0)

    assert told.belief().fit.count is None


def test_a_limit_that_was_lowered_to_what_was_drawn_tells_no_count() -> None:
    told = Told()
    told.draw(24_000, 3 * 16.0)
    told.draw(None, 3 * 12.0)
    told.draw(18_000, 3 * 12.0)

    assert told.belief().fit.count is None


def test_what_was_learnt_of_its_phases_is_learnt_anew() -> None:
    told = Told()
    told.draw(16_000, 16.0)
    told.draw(10_000, 10.0)
    assert told.belief().fit.count == 1

    told.draw(8_000, 3 * 8.0)
    told.draw(12_000, 3 * 12.0)

    assert told.belief().fit.count == 3


def test_who_draws_a_little_more_than_the_minimum_on_one_phase_is_counted_so() -> None:
    told = Told()

    told.draw(6_000, 8.0)
    told.draw(None, 8.0)

    assert told.belief().excess_ma == 1_300  # At the highest voltage there may be.
