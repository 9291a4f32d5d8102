"""Decides which stretches of registers to read together, by the time they take on the wire.

Pure. A register is two bytes, so reading across a hole of g registers costs 2g characters;
a request of its own costs both frames' overhead, two silences and the meter's turn-around.
"""

from collections.abc import Sequence
from dataclasses import dataclass

REQUEST_CHARACTERS = 8  # Unit, function, address, count, check bytes.
ANSWER_CHARACTERS = 5  # Unit, function, byte count, check bytes.
MOST_REGISTERS = 125  # Modbus Application Protocol V1.1b3, 6.3: what one answer can carry.
SPARE_WINDOWS = 3


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Span:
    """Registers that must come in one answer: `count` of them from `address` on."""

    address: int
    count: int

    @property
    def end(self) -> int:
        """Return the address behind the last register."""
        return self.address + self.count

    def covers(self, other: "Span") -> bool:
        """Say whether all registers of `other` are among these."""
        return self.address <= other.address and other.end <= self.end

    def moved(self, by: int) -> "Span":
        """Return the same registers of a map that begins `by` registers later."""
        return Span(address=self.address + by, count=self.count)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Registers a meter is known to answer in one read, holes included.

    A read may begin and end only at multiples of `step` registers from the start: a meter may
    refuse to have a value cut.
    """

    span: Span
    step: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class LineCost:
    """What a request costs on a line: per character, and before and between the frames."""

    character_s: float
    silence_s: float
    turnaround_s: float

    def wire_s(self, register_count: int) -> float:
        """Return the seconds one read of `register_count` registers holds the line."""
        return self.frames_s(2 * register_count) + self.turnaround_s

    def frames_s(self, byte_count: int) -> float:
        """Return how long question and answer take where a unit answers `byte_count` at once."""
        characters = REQUEST_CHARACTERS + ANSWER_CHARACTERS + byte_count
        return characters * self.character_s + 2 * self.silence_s


TCP_COST = LineCost(character_s=1e-6, silence_s=0.0, turnaround_s=0.002)
"""On a network a request costs a round trip, and its length next to nothing."""


def serial_cost(
    *, baud: int, character_bits: int, turnaround_s: float = 0.02, least_silence_s: float = 0.0
) -> LineCost:
    """Return what a request costs on a serial line.

    The silence between frames is 3.5 characters, above 19,200 baud a fixed 1.75 ms (Modbus over
    Serial Line V1.02, 2.5.1.1).
    """
    character_s = character_bits / baud
    silence_s = 3.5 * character_s if baud <= 19_200 else 0.001_75
    return LineCost(
        character_s=character_s,
        silence_s=max(silence_s, least_silence_s),
        turnaround_s=turnaround_s,
    )


def plan_blocks(
    spans: Sequence[Span],
    *,
    stretches: Sequence[Stretch],
    max_count: int,
    line: LineCost,
) -> tuple[Span, ...]:
    """Return the reads that bring all `spans` in the least time on the wire.

    Each span is whole inside one read; no read is longer than `max_count`, leaves its stretch
    or begins or ends off its step.

    Raises:
        ValueError: a span lies in no stretch, or is longer than one read may be.
    """
    wanted = sorted(set(spans))
    # best_s[i]: the least time for the first i spans; cut[i]: where their last read begins.
    best_s = [0.0] + [float("inf")] * len(wanted)
    cut: list[tuple[int, Span] | None] = [None] * (len(wanted) + 1)
    for last in range(1, len(wanted) + 1):
        for first in range(last - 1, -1, -1):
            block = _block_over(wanted[first:last], stretches, max_count)
            if block is None:
                continue
            cost_s = best_s[first] + line.wire_s(block.count)
            if cost_s < best_s[last]:
                best_s[last], cut[last] = cost_s, (first, block)
    blocks: list[Span] = []
    position = len(wanted)
    while position:
        step = cut[position]
        if step is None:
            raise ValueError(f"{wanted[position - 1]} cannot be read in one request")
        position = step[0]
        blocks.append(step[1])
    return tuple(reversed(blocks))


def _block_over(spans: Sequence[Span], stretches: Sequence[Stretch], max_count: int) -> Span | None:
    """Return the shortest allowed read over all `spans`, or None if there is none."""
    first, end = spans[0].address, max(span.end for span in spans)
    for stretch in stretches:
        if not stretch.span.covers(Span(address=first, count=end - first)):
            continue
        start = first - (first - stretch.span.address) % stretch.step
        end += -(end - stretch.span.address) % stretch.step
        block = Span(address=start, count=end - start)
        if block.count <= max_count and stretch.span.covers(block):
            return block
    return None


def windows_over(block: Span, *, stretches: Sequence[Stretch], max_count: int) -> tuple[Span, ...]:
    """Return reads of different lengths that all contain `block`, itself first.

    A frame on a serial line does not say which question it answers: only its length tells a
    late answer from the right one, so the bus asks again in another length.
    """
    windows = [block]
    for stretch in stretches:
        if not stretch.span.covers(block):
            continue
        address, end = block.address, block.end
        while len(windows) <= SPARE_WINDOWS:
            if end + stretch.step <= stretch.span.end:
                end += stretch.step
            elif address - stretch.step >= stretch.span.address:
                address -= stretch.step
            else:
                break
            if end - address > max_count:
                break
            windows.append(Span(address=address, count=end - address))
        break
    return tuple(windows)
