"""A board with vehicles that obey, each as its station tells of it, second by second."""

from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.control.decide import Decision
from gateway.domain.charging import RateUnit
from gateway.domain.events import ConnectorMetered
from tests.support.one_circuit import OneCircuit, ref

THREE = (0, 1, 2)
NOMINAL_V = 230.0


@dataclass(slots=True, kw_only=True)
class Car:
    """A vehicle that draws what it is told, up to `max_a`, and what its station tells of it.

    It follows `lag_s` late on `phases`. Told each `interval_s` are currents (`tells_currents`) and
    power (`tells_power`), and also when asked if it `answers`.
    """

    max_a: float = 32.0
    phases: tuple[int, ...] = THREE
    tells_currents: bool = True
    tells_power: bool = False
    interval_s: int = 10
    answers: bool = True
    less_a: float = 0.0
    voltage_v: float = NOMINAL_V
    lag_s: int = 7
    takes_watts: bool = False
    draw_a: float = 0.0
    energy_wh: float = 0.0
    on_its_way_a: list[float] = field(default_factory=list)


class Cars:
    """The board of 100 A with a vehicle at each of its stations from the start; a steady base."""

    def __init__(self, *cars: Car, base_a: Callable[[int], float]) -> None:
        """Plug all of them in, the first at the first station; `base_a` is base at a second."""
        self.board, self.cars, self.base_a, self.second = OneCircuit(), cars, base_a, 0
        self.flows_a = [0.0, 0.0, 0.0]
        for number, car in enumerate(cars, 1):
            unit = RateUnit.WATTS if car.takes_watts else RateUnit.AMPERES
            self.board.is_capable(number, unit=unit, interval_s=car.interval_s)
            self.board.plug_in(number)
            self.board.begin(number, f"transaction-{number}")
            car.on_its_way_a = [0.0] * car.lag_s

    def step(self) -> Decision:
        """Let a second pass."""
        self.second += 1
        self.board.now_s += 1.0
        for number, car in enumerate(self.cars, 1):
            car.on_its_way_a.append(self._offered_a(number, car))
            car.draw_a = car.on_its_way_a.pop(0)
            car.energy_wh += car.draw_a * len(car.phases) * car.voltage_v / 3_600.0
        for phase in THREE:
            drawn_a = sum(car.draw_a for car in self.cars if phase in car.phases)
            # A live meter never repeats itself to the last bit.
            self.flows_a[phase] = self.base_a(self.second) + drawn_a + 0.001 * (self.second % 7)
        l1, l2, l3 = self.flows_a
        self.board.flow_on_phases((l1, l2, l3))
        for number, car in enumerate(self.cars, 1):
            if (self.second + 3 * number) % car.interval_s == 0:
                self._tell(number, car)
        decision = self.board.decide()
        for asked in decision.ask:
            number = int(asked.station[3:])
            if self.cars[number - 1].answers:
                self._tell(number, self.cars[number - 1])
        return decision

    def _offered_a(self, number: int, car: Car) -> float:
        """Return what a vehicle draws of what its station was told last."""
        newest = self.board.state.connectors[number - 1].limits[-1]
        told_a = newest.limit_ma / 1_000 if newest.last_sequence else 0.0
        if car.takes_watts:
            told_a *= newest.phase_count * NOMINAL_V / (car.voltage_v * len(car.phases))
        if told_a < 5.9:
            return 0.0
        return max(0.0, min(told_a, car.max_a) - car.less_a)

    def _tell(self, number: int, car: Car) -> None:
        if not car.tells_currents and not car.tells_power:
            return
        on_phases = [car.draw_a if phase in car.phases else 0.0 for phase in THREE]
        self.board.learn(
            ConnectorMetered(
                at_s=self.board.now_s,
                connector=ref(number),
                current_a=(on_phases[0], on_phases[1], on_phases[2])
                if car.tells_currents
                else (None, None, None),
                power_w=car.draw_a * len(car.phases) * car.voltage_v if car.tells_power else None,
            )
        )
