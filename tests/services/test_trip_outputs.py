"""A trip output opens when nothing else helps, stays open until released, in virtual time."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from gateway.control.decide import decide
from gateway.control.stop_latch import ReleaseRefusedError
from gateway.domain.events import CircuitTripped, Event
from gateway.domain.ids import CircuitId
from gateway.domain.memory import TripMemory
from gateway.services.alarms import Alarms
from gateway.services.control_loop import Cycle
from gateway.services.trip_outputs import FittedOutput, TripOutputs
from tests.support.one_circuit import BOARD, OneCircuit
from tests.support.paper_ledger import PaperLedger
from tests.support.scripted_contacts import ScriptedOutput
from tests.support.virtual_time import VirtualClock, run_virtual

ALARM = f"trip output of {BOARD}"


class Switchboard:
    """A board with a trip output, of which control says each second whether it must be open."""

    def __init__(
        self,
        output: ScriptedOutput,
        *,
        trips_when_closed: bool = False,
        tripped: bool = False,
        over: Callable[[float], bool] = lambda _: False,
    ) -> None:
        self.clock, self.ledger = VirtualClock(), PaperLedger()
        self.alarms = Alarms(self.clock)
        self.output = output
        self._over = over
        self._fitted = FittedOutput(driver=output, trips_when_closed=trips_when_closed)
        self._tripped = [BOARD] if tripped else []
        self.outcomes: list[str] = []
        self.facts: list[Event] = []
        self.heard: list[tuple[int, str]] = []
        board = OneCircuit()
        self._decided = decide(board.state, board.now_s)
        self._state = board.state

    def live(
        self, for_s: int, *, release_s: tuple[int, ...] = (), circuit: CircuitId = BOARD
    ) -> None:
        async def main() -> None:
            watching = TripOutputs(
                {BOARD: self._fitted},
                tripped=self._tripped,
                clock=self.clock,
                alarms=self.alarms,
                ledger=self.ledger,
                post=self.facts.append,
            )
            async with asyncio.TaskGroup() as tasks:
                running = tasks.create_task(watching.run())
                for second in range(for_s):
                    trips = (BOARD,) if self._over(second) else ()
                    decision = replace(self._decided, trips=trips)
                    watching.follow(Cycle(state=self._state, decision=decision))
                    if second in release_s:
                        self._release(watching, circuit)
                    await self.clock.sleep_s(0.5)
                    told = [alarm.text for alarm in self.alarms.sounding()]
                    if told and (not self.heard or self.heard[-1][1] != told[0]):
                        self.heard.append((second, told[0]))
                    await self.clock.sleep_s(0.5)
                running.cancel()

        run_virtual(main())
        self.ledger.commit()

    def _release(self, watching: TripOutputs, circuit: CircuitId) -> None:
        try:
            watching.release(circuit, "J. Smith")
            self.outcomes.append("released")
        except ReleaseRefusedError as error:
            self.outcomes.append(str(error))

    @property
    def acts(self) -> list[tuple[str, str]]:
        return [(act.kind, act.by) for act in self.ledger.acts]


@pytest.mark.parametrize("trips_when_closed", [False, True])
def test_it_opens_in_the_second_it_is_told_and_closes_when_a_person_says_so(
    trips_when_closed: bool,
) -> None:
    output = ScriptedOutput(is_closed=not trips_when_closed)
    board = Switchboard(
        output, trips_when_closed=trips_when_closed, over=lambda second: 20 <= second < 25
    )

    board.live(90, release_s=(10, 22, 40))

    assert output.writes == [(20.0, trips_when_closed), (40.0, not trips_when_closed)]
    assert [
        word in said for word, said in zip(("not open", "over", "rel"), board.outcomes, strict=True)
    ]
    assert board.outcomes[2] == "released"
    assert board.alarms.sounding() == ()
    assert board.acts == [("trip", ""), ("trip-release", "J. Smith")]
    assert board.ledger.memory.trips == {BOARD: TripMemory(circuit=BOARD, is_tripped=False)}


def test_it_stays_open_though_the_overload_is_over_and_says_so_once() -> None:
    board = Switchboard(ScriptedOutput(is_closed=True), over=lambda second: second == 3)

    board.live(600)

    assert board.output.writes == [(3.0, False)]
    assert not board.output.closed
    # It has opened before anybody need hear that it has not.
    assert len(board.heard) == 1
    # And the lockout of the circuit begins: an open circuit has no reading that would begin it.
    assert board.facts == [CircuitTripped(at_s=3.0, circuit=BOARD)]
    assert board.heard[-1][1].endswith(f"find out what drew there, then `headroom release {BOARD}`")
    assert board.ledger.memory.trips == {BOARD: TripMemory(circuit=BOARD, is_tripped=True)}


def test_one_that_does_not_answer_is_told_again_until_it_does_and_a_person_called_at_once() -> None:
    output = ScriptedOutput(is_closed=True, answers=lambda now_s: not 5.0 <= now_s < 60.0)
    board = Switchboard(output, over=lambda second: second >= 10)

    board.live(62)

    assert len(output.writes) >= 50
    assert not output.closed
    begun_s, text = board.heard[0]
    assert begun_s == 10
    assert text.startswith(f"circuit {BOARD} is over its rating and its trip output has not opened")
    assert text.endswith("(mute at 10.01): switch it off by hand")
    assert [second for second, _ in board.heard] == [10, 60]


def test_an_overload_that_goes_on_with_the_output_open_is_told() -> None:
    board = Switchboard(ScriptedOutput(is_closed=True), over=lambda second: second >= 10)

    board.live(30)

    assert "is open, and the circuit is over its rating all the same" in board.heard[-1][1]


def test_a_trip_before_a_restart_waits_for_its_release_after_it() -> None:
    board = Switchboard(ScriptedOutput(is_closed=False), tripped=True)

    board.live(20, release_s=(10,))

    assert board.output.writes == [(10.0, True)]
    assert board.outcomes == ["released"]


def test_a_module_that_has_lost_what_it_was_told_is_told_again() -> None:
    output = ScriptedOutput(is_closed=False)
    board = Switchboard(output, trips_when_closed=True, tripped=True)

    board.live(20)

    assert output.closed
    assert output.writes


def test_an_output_somebody_else_has_opened_is_an_alarm_and_is_left_open() -> None:
    board = Switchboard(ScriptedOutput(is_closed=False))

    board.live(40, release_s=(20,))

    assert "Headroom knows of no trip" in board.heard[-1][1]
    assert board.output.writes == [(20.0, True)]
    assert board.outcomes == ["released"]
    assert board.output.closed


def test_a_release_that_is_not_seen_to_be_done_in_time_is_void() -> None:
    output = ScriptedOutput(is_closed=True, answers=lambda now_s: not 20.0 <= now_s < 50.0)
    board = Switchboard(output, over=lambda second: second == 5)

    board.live(80, release_s=(20,))

    assert board.outcomes == ["released"]
    assert not output.closed
    assert {is_closed for at_s, is_closed in output.writes if at_s > 31.0} == {False}


def test_one_that_is_silent_is_an_alarm_and_cannot_be_released() -> None:
    output = ScriptedOutput(is_closed=True, answers=lambda now_s: now_s < 5.0)
    board = Switchboard(output, tripped=False)

    board.live(60, release_s=(40,))

    assert board.outcomes == [
        f"circuit {BOARD}: its trip output does not answer: it must be heard first"
    ]
    assert "does not answer (mute at" in board.heard[-1][1]
    assert len(board.heard) == 1


def test_a_circuit_without_one_has_nothing_to_release() -> None:
    board = Switchboard(ScriptedOutput(is_closed=True))

    board.live(10, release_s=(5,), circuit=CircuitId("lobby"))

    assert board.outcomes == [f"'lobby' has no trip output; {BOARD} has"]
