"""A connector that draws more than it was told sounds as an alarm while it does."""

import logging

import pytest

from gateway.adapters.clock import SystemClock
from gateway.domain.events import StopInputChanged
from gateway.domain.stops import StopCause
from gateway.services.alarms import Alarms
from gateway.services.control_loop import Cycle
from gateway.services.obedience_alarms import ObedienceAlarms
from tests.support.one_circuit import OneCircuit, ref

NAME = f"obedience of {ref(1)}"


class Heard:
    """The board, and what sounds after each of its seconds."""

    def __init__(self) -> None:
        """Begin with a vehicle at a station that has obeyed."""
        self.board, self.alarms = OneCircuit(), Alarms(SystemClock())
        self.of_connectors = ObedienceAlarms(self.alarms)
        self.board.prove(1)
        self.board.begin(1, "one")

    def run(self, seconds: int, draw_a: float | None) -> list[str]:
        """Let seconds pass in which so much is read, or nothing; return what then sounds."""
        for second in range(seconds):
            self.board.now_s += 1.0
            self.board.flow(70.0 + 0.001 * (second % 7))  # No room for a raise.
            if second % 10 == 0 and draw_a is not None:
                self.board.draw(1, draw_a + 0.02 * (second % 3))
            decision = self.board.decide()
            self.of_connectors.follow(Cycle(state=self.board.state, decision=decision))
        return [f"{alarm.name}: {alarm.text}" for alarm in self.alarms.sounding()]


def test_it_sounds_with_both_numbers_while_it_lasts_and_is_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    heard = Heard()

    assert heard.run(30, 6.0) == []
    (told,) = heard.run(600, 11.0)
    assert told.startswith(f"{NAME}: connector {ref(1)} draws 11.0 A where 6.0 A was told: ")
    assert heard.run(30, 6.0) == []

    assert len(caplog.records) == 2  # That it sounds, and that it is over.


def test_a_stop_that_is_ignored_sounds() -> None:
    heard = Heard()
    heard.run(30, 6.0)
    heard.board.learn(
        StopInputChanged(at_s=heard.board.now_s, is_stopped=True, cause=StopCause.ACTIVE)
    )

    (told,) = heard.run(60, 6.0)

    assert f"{ref(1)} draws 6.0 A where 0.0 A was told" in told


def test_it_ends_with_the_vehicle() -> None:
    heard = Heard()
    assert len(heard.run(60, 11.0)) == 1

    heard.board.leave(1)

    assert heard.run(1, 0.0) == []


def test_it_ends_once_nothing_shows_it_any_more() -> None:
    lost, silent = Heard(), Heard()
    assert len(lost.run(60, 11.0)) == len(silent.run(60, 11.0)) == 1
    lost.board.lose(1)

    assert lost.run(1, None) == []
    assert len(silent.run(20, None)) == 1  # Its next reading is not late yet.
    assert silent.run(10 * 60, None) == []
