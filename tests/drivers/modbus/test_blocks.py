"""Reads are planned by what the wire takes, never outside what a meter answers."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.modbus.blocks import (
    TCP_COST,
    LineCost,
    Span,
    Stretch,
    plan_blocks,
    serial_cost,
    windows_over,
)
from drivers.modbus.endpoint import SerialEndpoint

SLOW_LINE = serial_cost(baud=9600, character_bits=10)
LINES = [SLOW_LINE, serial_cost(baud=19_200, character_bits=11), TCP_COST]


@pytest.mark.parametrize(
    ("form", "character_bits"),
    [("8N1", 10), ("8E1", 11), ("8O1", 11), ("8N2", 11), ("8E2", 12)],
)
def test_a_character_is_its_start_data_parity_and_stop_bits(form: str, character_bits: int) -> None:
    line = SerialEndpoint(port="-", baud=9_600, format=form)

    assert line.cost == serial_cost(baud=9_600, character_bits=character_bits)


def span(address: int, count: int) -> Span:
    return Span(address=address, count=count)


def plan(*spans: Span, line: LineCost = SLOW_LINE, max_count: int = 125) -> list[tuple[int, int]]:
    whole = [Stretch(span=span(0, 1_000))]
    blocks = plan_blocks(spans, stretches=whole, max_count=max_count, line=line)
    return [(block.address, block.count) for block in blocks]


@pytest.mark.parametrize(
    ("register_count", "milliseconds"), [(6, 53), (12, 66), (18, 78), (80, 208), (125, 301)]
)
def test_a_read_at_9600_baud_takes_what_the_standard_says(
    register_count: int, milliseconds: int
) -> None:
    assert SLOW_LINE.wire_s(register_count) * 1_000 == pytest.approx(milliseconds, abs=1)


def test_a_hole_is_read_across_as_long_as_it_is_cheaper_than_asking_again() -> None:
    # (20 characters + 20 ms) / 2 characters a register = 19.6 registers.
    assert plan(span(0, 2), span(21, 2)) == [(0, 23)]
    assert plan(span(0, 2), span(23, 2)) == [(0, 2), (23, 2)]
    assert plan(span(0, 2), span(98, 2), line=TCP_COST) == [(0, 100)]


def test_a_read_is_never_longer_than_the_meter_allows() -> None:
    assert plan(span(0, 6), span(6, 6), span(12, 6), max_count=12) == [(0, 12), (12, 6)]


def test_no_read_leaves_its_stretch() -> None:
    stretches = [Stretch(span=span(0, 10)), Stretch(span=span(12, 10))]

    blocks = plan_blocks(
        [span(8, 2), span(12, 2)], stretches=stretches, max_count=125, line=TCP_COST
    )

    assert blocks == (span(8, 2), span(12, 2))


def test_what_cannot_be_read_is_said() -> None:
    with pytest.raises(ValueError, match="cannot be read in one request"):
        plan(span(998, 4))
    with pytest.raises(ValueError, match="cannot be read in one request"):
        plan(span(0, 4), max_count=3)


@st.composite
def layouts(draw: st.DrawFn) -> tuple[list[Span], list[Stretch], int]:
    """Return spans on the grids of some stretches, all of them readable."""
    stretches, spans, address = [], [], draw(st.integers(0, 5))
    for _ in range(draw(st.integers(1, 3))):
        step = draw(st.sampled_from([1, 2, 4]))
        steps = draw(st.integers(1, 20))
        stretches.append(Stretch(span=span(address, steps * step), step=step))
        for _ in range(draw(st.integers(0, 4))):
            at = draw(st.integers(0, steps - 1))
            length = draw(st.integers(1, min(4, steps - at)))
            spans.append(span(address + at * step, length * step))
        address += steps * step + draw(st.integers(0, 30))
    return spans, stretches, draw(st.integers(16, 125))


@given(layout=layouts(), line=st.sampled_from(LINES))
def test_a_plan_covers_everything_and_breaks_no_rule(
    layout: tuple[list[Span], list[Stretch], int], line: LineCost
) -> None:
    spans, stretches, max_count = layout

    blocks = plan_blocks(spans, stretches=stretches, max_count=max_count, line=line)

    for wanted in spans:
        assert any(block.covers(wanted) for block in blocks)
    for block in blocks:
        home = next(s for s in stretches if s.span.covers(block))
        assert block.count <= max_count
        assert (block.address - home.span.address) % home.step == 0
        assert block.count % home.step == 0


def _partitions(spans: list[Span]) -> list[list[list[Span]]]:
    cuts = range(1, len(spans))
    return [
        [list(spans[a:b]) for a, b in itertools.pairwise((0, *chosen, len(spans)))]
        for size in range(len(spans))
        for chosen in itertools.combinations(cuts, size)
    ]


@given(
    addresses=st.lists(st.integers(0, 90), min_size=1, max_size=7, unique=True),
    line=st.sampled_from(LINES),
    max_count=st.integers(2, 60),
)
def test_no_other_division_takes_less_time(
    addresses: list[int], line: LineCost, max_count: int
) -> None:
    spans = sorted(span(address, 1) for address in addresses)
    whole = [Stretch(span=span(0, 100))]

    blocks = plan_blocks(spans, stretches=whole, max_count=max_count, line=line)

    costs = []
    for groups in _partitions(spans):
        counts = [group[-1].end - group[0].address for group in groups]
        if max(counts) <= max_count:
            costs.append(sum(line.wire_s(count) for count in counts))
    assert sum(line.wire_s(block.count) for block in blocks) == pytest.approx(min(costs))


@given(layout=layouts())
def test_windows_differ_in_length_and_all_contain_the_block(
    layout: tuple[list[Span], list[Stretch], int],
) -> None:
    spans, stretches, max_count = layout
    for block in plan_blocks(spans, stretches=stretches, max_count=max_count, line=SLOW_LINE):
        windows = windows_over(block, stretches=stretches, max_count=max_count)

        assert windows[0] == block
        assert len({window.count for window in windows}) == len(windows)
        home = next(s for s in stretches if s.span.covers(block))
        for window in windows:
            assert window.covers(block)
            assert window.count <= max_count
            assert home.span.covers(window)
            assert (window.address - home.span.address) % home.step == 0
            assert window.count % home.step == 0
