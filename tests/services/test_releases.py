"""A person's release ends what keeps a circuit from charging, and says what that was."""

from dataclasses import replace

import pytest

from gateway.control.stop_latch import ReleaseRefusedError
from gateway.domain.events import CircuitTripped, Event, LockoutEnded
from gateway.domain.ids import CircuitId
from gateway.services.alarms import Alarms
from gateway.services.control_loop import Cycle
from gateway.services.releases import Released, Releases
from gateway.services.trip_outputs import FittedOutput, TripOutputs
from tests.support.one_circuit import BOARD, OneCircuit
from tests.support.paper_ledger import PaperLedger
from tests.support.scripted_contacts import ScriptedOutput
from tests.support.virtual_time import VirtualClock, run_virtual


class Cabinet:
    """A board that control looks at once, with a trip output if it is `fitted`."""

    def __init__(
        self, *, fitted: bool, locked_s: float = 0.0, over_s: int = 0, doubted_ma: int = 0
    ) -> None:
        self.clock, self.ledger = VirtualClock(), PaperLedger()
        self.facts: list[Event] = []
        board = OneCircuit()
        board.now_s = self.clock.monotonic_s()
        board.run(over_s + 1, base_a=105.0 if over_s else 20.0, draws_a={})
        (circuit,) = board.state.circuits
        until_s = self.clock.monotonic_s() + locked_s
        state = replace(board.state, circuits=(replace(circuit, lockout_until_s=until_s),))
        self.cycle = Cycle(state=state, decision=board.decide())
        if doubted_ma:
            rows = [row._replace(doubted_ma=doubted_ma) for row in self.cycle.decision.survey.rows]
            seen = replace(self.cycle.decision.survey, rows=rows)
            self.cycle = Cycle(state=state, decision=replace(self.cycle.decision, survey=seen))
        self.contactor = ScriptedOutput(is_closed=True)
        output = FittedOutput(driver=self.contactor, trips_when_closed=False)
        self.outputs = TripOutputs(
            {BOARD: output} if fitted else {},
            tripped=[BOARD] if fitted else [],
            clock=self.clock,
            alarms=Alarms(self.clock),
            ledger=self.ledger,
            post=self.facts.append,
        )

    def release(self, circuit: CircuitId = BOARD) -> Released:
        releases = Releases(
            self.outputs,
            latest=lambda: self.cycle,
            clock=self.clock,
            ledger=self.ledger,
            post=self.facts.append,
        )
        return releases.release(circuit, "J. Smith")

    def acts(self) -> list[tuple[str, str]]:
        self.ledger.commit()
        return [(act.kind, act.by) for act in self.ledger.acts]


def test_one_release_closes_the_output_and_ends_the_lockout() -> None:
    async def test() -> None:
        cabinet = Cabinet(fitted=True, locked_s=3_600.0)
        done = cabinet.release()

        assert done == Released(closes=True, lockout_left_s=3_600.0)
        assert LockoutEnded(at_s=cabinet.clock.monotonic_s(), circuit=BOARD) in cabinet.facts
        assert ("lockout-release", "J. Smith") in cabinet.acts()

    run_virtual(test())


def test_a_lockout_without_a_trip_output_is_ended_too() -> None:
    async def test() -> None:
        cabinet = Cabinet(fitted=False, locked_s=60.0)

        assert cabinet.release() == Released(closes=False, lockout_left_s=60.0)
        assert not any(isinstance(fact, CircuitTripped) for fact in cabinet.facts)

    run_virtual(test())


def test_a_meter_that_was_doubted_is_believed_again() -> None:
    async def test() -> None:
        cabinet = Cabinet(fitted=False, doubted_ma=5_000)

        done = cabinet.release()

        assert done == Released(closes=False, lockout_left_s=None, is_believed=True)
        assert LockoutEnded(at_s=cabinet.clock.monotonic_s(), circuit=BOARD) in cabinet.facts

    run_virtual(test())


@pytest.mark.parametrize(
    ("locked_s", "over_s", "circuit", "why"),
    [
        (60.0, 5, BOARD, "still over its rating"),
        (0.0, 0, BOARD, "neither is its trip output open nor is it locked out"),
        (60.0, 0, CircuitId("attic"), "there is no circuit 'attic'"),
    ],
)
def test_what_must_not_be_released_is_refused_and_changes_nothing(
    locked_s: float, over_s: int, circuit: CircuitId, why: str
) -> None:
    async def test() -> None:
        cabinet = Cabinet(fitted=False, locked_s=locked_s, over_s=over_s)
        with pytest.raises(ReleaseRefusedError, match=why):
            cabinet.release(circuit)
        assert (cabinet.facts, cabinet.acts()) == ([], [])

    run_virtual(test())
