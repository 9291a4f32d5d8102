"""A board with a vehicle at a station that takes its limits in watts."""

from dataclasses import replace

from gateway.domain.charging import RateUnit
from gateway.domain.events import ConnectorMetered
from tests.support.one_circuit import OneCircuit, ref, site

NOTHING_A = (0.0, 0.0, 0.0)


def told(board: OneCircuit) -> tuple[int, int]:
    """Return the limit of the first connector, and for how many phases it was told."""
    newest = board.state.connectors[0].limits[-1]
    return newest.limit_ma, newest.phase_count


class Hall:
    """A board with a vehicle that draws `draws_a` from when it is offered `begins_at_w`."""

    def __init__(
        self,
        *,
        base_a: float = 20.0,
        draws_a: tuple[float, float, float] = (6.0, 6.0, 6.0),
        begins_at_w: float = 4_140.0,
        tells_watts: bool = False,
        is_proven: bool = True,
        max_ma: int = 16_000,
    ) -> None:
        whole = site()
        self.board = OneCircuit(
            of=replace(
                whole,
                stations=tuple(
                    replace(
                        station,
                        connectors=tuple(replace(c, max_ma=max_ma) for c in station.connectors),
                    )
                    for station in whole.stations
                ),
            )
        )
        self.base_a, self.draws_a, self.begins_at_w = base_a, draws_a, begins_at_w
        self.tells_watts = tells_watts
        self.board.is_capable(1, unit=RateUnit.WATTS)
        if is_proven:
            station = ref(1).station
            beliefs = self.board.state.stations
            self.board.state = replace(
                self.board.state,
                stations={**beliefs, station: replace(beliefs[station], is_proven=True)},
            )
        self.board.plug_in(1)

    def draw_a(self) -> tuple[float, float, float]:
        limit_ma, phase_count = told(self.board)
        if self.board.state.connectors[0].limits[-1].last_sequence == 0:
            return NOTHING_A
        is_offered = limit_ma * phase_count * 230 / 1_000 >= self.begins_at_w
        return self.draws_a if is_offered else NOTHING_A

    def run(self, seconds: int) -> None:
        """Let seconds pass; the station tells what is drawn every ten."""
        board = self.board
        for second in range(seconds):
            drawn_a = self.draw_a()
            board.now_s += 1.0
            board.flow(self.base_a + max(drawn_a) + 0.001 * (board.now_s % 7))
            if second % 10 == 9:
                self.tell()
            board.decide()

    def tell(self) -> None:
        """Let the station say what is drawn."""
        at_s, drawn_a = self.board.now_s, self.draw_a()
        if self.tells_watts:
            power_w = 230 * sum(drawn_a)
            fact = ConnectorMetered(at_s=at_s, connector=ref(1), power_w=power_w)
        else:
            fact = ConnectorMetered(at_s=at_s, connector=ref(1), current_a=drawn_a)
        self.board.learn(fact)
