"""The linter of meter profiles: every file is whole, and what is wrong with one is said."""

import itertools
import re
from pathlib import Path

import pytest

from drivers.modbus.codec import RegisterType
from drivers.modbus.endpoint import SerialEndpoint, TcpEndpoint
from drivers.modbus.plan import plan_guard, plan_reads, wire_s
from drivers.modbus.profile import (
    UNIT_OF_NAME,
    ProfileError,
    load_profile,
    parse_profile,
    profile_names,
)

ROOT = Path(__file__).resolve().parents[3]
LINES = {
    "9600 8N1": SerialEndpoint(port="-", baud=9_600).cost,
    "19200 8E1": SerialEndpoint(port="-", baud=19_200, format="8E1").cost,
    "115200 8N1": SerialEndpoint(port="-", baud=115_200).cost,
    "tcp": TcpEndpoint(host="-").cost,
}

MINIMAL = """
schema: 1
id: acme
vendor: Acme
models: [M1]
phases: 1
function_code: 4
word_order: ABCD
max_count: 20
stretches: [{first: 0, count: 40, step: 2}]
sign: positive = import
registers:
  guard:
    current_l1: {address: 0, type: f32, unit: A}
    power_active_l1: {address: 2, type: f32, unit: W}
sources: [the vendor's paper]
confidence: low
"""


def test_the_three_meters_of_the_founding_slice_are_there() -> None:
    assert set(profile_names()) >= {"eastron_sdm630_v2", "schneider_iem3000", "sunspec_201_204"}


@pytest.mark.parametrize("name", profile_names())
def test_every_profile_loads_and_names_its_sources(name: str) -> None:
    profile = load_profile(name)

    assert len(profile.sources) >= 2
    assert profile.registers


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("name", profile_names())
def test_every_register_is_read_whole_and_no_read_breaks_a_rule(name: str, line: str) -> None:
    profile = load_profile(name)

    reads = plan_reads(profile, list(profile.registers), LINES[line])

    names = [register.name for read in reads for register in read.decoder.registers]
    assert sorted(names) == sorted(profile.registers)
    for read, window in [(r, w) for r in reads for w in r.windows]:
        (home,) = [s for s in profile.stretches if s.span.covers(window)]
        assert window.count <= profile.max_count
        assert window.covers(read.block)
        # No value is cut at either end of a read.
        for register in profile.registers.values():
            span = register.own_span
            is_apart = span.end <= window.address or window.end <= span.address
            assert is_apart or window.covers(span) or home.step == 1


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("name", profile_names())
def test_guard_reads_can_tell_a_late_answer_from_a_right_one(name: str, line: str) -> None:
    for read in plan_guard(load_profile(name), LINES[line]):
        assert len(read.windows) >= 2


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("name", profile_names())
def test_the_guard_reads_hold_all_that_the_control_law_needs(name: str, line: str) -> None:
    profile = load_profile(name)

    reads = plan_guard(profile, LINES[line])

    names = {register.name for read in reads for register in read.decoder.registers}
    assert names >= set(profile.tiers["guard"])
    assert wire_s(reads, LINES[line]) < 0.2


def test_a_meter_whose_values_lie_together_is_read_in_one_request() -> None:
    reads = plan_guard(load_profile("eastron_sdm630_v2"), LINES["9600 8N1"])

    assert [(read.block.address, read.block.count) for read in reads] == [(0, 18)]
    assert round(wire_s(reads, LINES["9600 8N1"]) * 1_000) == 78


def test_reading_piece_by_piece_touches_no_register_without_a_value() -> None:
    profile = load_profile("schneider_iem3000")

    reads = plan_reads(profile, list(profile.registers), LINES["tcp"], is_bridging=False)

    owned = {
        address
        for register in profile.registers.values()
        for address in range(register.span.address, register.span.end)
    }
    read_addresses = itertools.chain.from_iterable(
        range(read.block.address, read.block.end) for read in reads
    )
    assert set(read_addresses) == owned


def test_the_example_of_the_guide_is_a_profile() -> None:
    guide = (ROOT / "docs" / "how-to" / "add-a-meter.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```yaml\n(.*?)```", guide, re.DOTALL)

    profile = parse_profile(example)

    assert profile.registers["power_active_l1"].scale == 1_000
    words = set(re.findall(r"[a-z0-9_]+", guide))
    assert words >= {*UNIT_OF_NAME, *(str(kind) for kind in RegisterType)}


def test_a_minimal_profile_is_enough() -> None:
    profile = parse_profile(MINIMAL)

    assert profile.registers["current_l1"].highest == 10_000
    assert profile.defaults.format == "8N1"


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("schema: 1", "schema: 2", "schema 2 is not known"),
        ("vendor: Acme", "vndor: Acme", "unknown field `vndor`"),
        ("vendor: Acme", "vendor: [Acme", "expected"),
        ("word_order: ABCD", "word_order: BADC", "BADC"),
        ("max_count: 20", "max_count: 126", "max_count 126"),
        ("max_count: 20", "max_count: 1", "current_l1: longer than one read"),
        ("sources: [the vendor's paper]", "sources: []", "no sources"),
        ("current_l1: {address: 0", "current_l1: {address: 1", "overlap at register 2"),
        ("current_l1: {address: 0", "current_l1: {address: 39", "lies in 0 stretches"),
        ("current_l1: {address: 0", "current_l1: {address: 7", "cut by the step"),
        ("current_l1: {", "current_l2: {", "current_l1 is missing"),
        ("current_l1: {", "courant_l1: {", "a name begins with one of"),
        ("unit: W", "unit: kW", "its unit is 'W', not 'kW'"),
        ("unit: W", "unit: W, scale: 0", "nothing is plausible"),
        ("unit: W", "unit: W, plausible: [5, 1]", "nothing is plausible"),
        ("type: f32, unit: A", "type: float, unit: A", "Invalid enum value 'float'"),
        ("type: f32, unit: A", "type: f32, unit: A, scale_factor: 2", "overlap at register 2"),
        (
            "step: 2}]",
            "step: 2}, {first: 0, count: 10}]",
            "current_l1: lies in 2 stretches",
        ),
        (
            "sources:",
            "  slow:\n    current_l1: {address: 10, type: f32, unit: A}\nsources:",
            "current_l1 stands in two tiers",
        ),
    ],
)
def test_a_slip_in_a_profile_is_named(old: str, new: str, why: str) -> None:
    assert old in MINIMAL

    with pytest.raises(ProfileError, match=why):
        parse_profile(MINIMAL.replace(old, new, 1))


def test_all_slips_in_a_table_are_named_at_once() -> None:
    broken = MINIMAL.replace("unit: W", "unit: kW").replace(
        "sources: [the vendor's paper]", "sources: []"
    )

    with pytest.raises(ProfileError, match=r"no sources.*its unit is 'W'"):
        parse_profile(broken)


def test_a_profile_that_is_not_there_names_the_nearest() -> None:
    with pytest.raises(ProfileError, match="did you mean eastron_sdm630_v2"):
        load_profile("sdm630")
    with pytest.raises(ProfileError, match="there are: eastron_sdm630_v2"):
        load_profile("xyz")


@pytest.mark.parametrize("name", ["../profiles/eastron_sdm630_v2", "", "eastron_sdm630_v2.yaml"])
def test_only_names_are_profile_names(name: str) -> None:
    with pytest.raises(ProfileError):
        load_profile(name)
