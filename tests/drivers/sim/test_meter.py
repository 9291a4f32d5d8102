"""What a circuit's meter shows of its wires, in order and out of it."""

from dataclasses import replace
from random import Random
from statistics import mean, pstdev

import pytest

from drivers.sim.faults import Fault, FaultKind
from drivers.sim.meter import CircuitMeter
from drivers.sim.wires import Wires
from gateway.domain.metering import MeterReading
from tests.support.sim_scenarios import METER, small_site

SITE = small_site()


def wired() -> tuple[CircuitMeter, Wires]:
    wires = Wires(SITE.circuits[0], row=0, voltage_v=(230.0, 231.0, 232.0))
    meter = CircuitMeter(SITE.meters[0], wires, voltage_v=(230.0, 231.0, 232.0), rng=Random(1))
    return meter, wires


def read(meter: CircuitMeter, at_s: float) -> MeterReading:
    meter.open_window(at_s - 0.5)
    return meter.read(at_s)


def a(reading: MeterReading, phase: int) -> float:
    amps = reading.current_a[phase]
    assert amps is not None
    return amps


def begin(meter: CircuitMeter, kind: FaultKind) -> Fault:
    fault = Fault(kind=kind, at_s=0.0, until_s=1e9, subject=METER)
    meter.faults.append(fault)
    return fault


def test_it_shows_each_phase_within_its_noise() -> None:
    meter, wires = wired()
    wires.set_base([40.0, 20.0, 0.0], 0.0)
    wires.shift_vehicle((0, 1), 10.0, 0.0)
    readings = [read(meter, float(second)) for second in range(1, 2_000)]

    for phase, amps in enumerate((50.0, 30.0)):
        shown = [a(reading, phase) for reading in readings]
        assert mean(shown) == pytest.approx(amps, abs=0.02)
        assert pstdev(shown) == pytest.approx(0.1, rel=0.15)  # 0.1 % of 100 A.
    assert min(a(reading, 2) for reading in readings) == 0.0


def test_it_averages_over_half_a_second() -> None:
    meter, wires = wired()
    wires.set_base([20.0, 20.0, 20.0], 0.0)
    meter.open_window(9.5)
    wires.shift_vehicle((0,), 30.0, 9.9)

    # 0.4 s of 20 A and 0.1 s of 50 A.
    assert a(meter.read(10.0), 0) == pytest.approx(26.0, abs=0.5)


def test_power_is_that_of_its_loads() -> None:
    meter, wires = wired()
    wires.set_base([20.0, 0.0, 0.0], 0.0)  # Power factor 0.95,
    wires.shift_vehicle((0, 1), 10.0, 0.0)  # and 1.

    power_w = read(meter, 10.0).power_w

    assert power_w[0] == pytest.approx(230.0 * (20.0 * 0.95 + 10.0), rel=0.02)
    assert power_w[1] == pytest.approx(231.0 * 10.0, rel=0.05)
    assert power_w[2] == pytest.approx(0.0, abs=100.0)


def test_energy_is_power_over_time() -> None:
    meter, wires = wired()
    wires.set_base([20.0, 0.0, 0.0], 0.0)
    wires.shift_vehicle((0, 1), 10.0, 1_800.0)

    energy_wh = read(meter, 3_600.0).import_energy_wh

    # Base at a power factor of 0.95 for an hour, the vehicle for half of it.
    assert energy_wh == pytest.approx(230.0 * 20.0 * 0.95 + (230.0 + 231.0) * 10.0 / 2)


def test_frozen_it_repeats_itself_to_the_last_bit_while_time_goes_on() -> None:
    meter, wires = wired()
    wires.set_base([20.0, 20.0, 20.0], 0.0)
    before = read(meter, 10.0)
    fault = begin(meter, FaultKind.METER_FROZEN)
    wires.set_base([60.0, 60.0, 60.0], 10.5)

    frozen = read(meter, 11.0)
    meter.faults.remove(fault)

    assert frozen == replace(before, at_s=11.0)
    assert a(read(meter, 12.0), 0) == pytest.approx(60.0, abs=1.0)


def test_without_a_fault_it_never_repeats_itself() -> None:
    meter, wires = wired()
    wires.set_base([20.0, 20.0, 20.0], 0.0)

    readings = [read(meter, float(second)).current_a for second in range(1, 500)]

    assert len(set(readings)) == len(readings)


def test_nan_is_an_answer_without_values() -> None:
    meter, _ = wired()
    begin(meter, FaultKind.METER_NAN)

    reading = read(meter, 10.0)

    assert meter.is_answering
    assert reading.current_a == reading.power_w == (None, None, None)


def test_lost_it_gives_no_answer() -> None:
    meter, _ = wired()
    fault = begin(meter, FaultKind.METER_LOST)

    assert not meter.is_answering
    meter.faults.remove(fault)
    assert meter.is_answering


def test_asked_twice_at_once_it_says_the_same() -> None:
    meter, _ = wired()
    first = read(meter, 10.0)
    meter.open_window(10.0)

    assert meter.read(10.0) == first
