"""Plans the reads that bring a profile's values over a certain line.

Pure: what to read, in which windows, and how each answer is laid out.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from drivers.modbus.blocks import LineCost, Span, Stretch, plan_blocks, windows_over
from drivers.modbus.codec import BlockDecoder, Value
from drivers.modbus.profile import Profile

CHEAP_RATIO = 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockRead:
    """One read of a plan: the block, the windows that may stand for it, and its layout."""

    block: Span
    windows: tuple[Span, ...]
    decoder: BlockDecoder

    def decode(self, payload: bytes, *, window: Span) -> dict[str, Value]:
        """Return the block's values out of the registers of `window`."""
        return self.decoder.decode(payload, 2 * (self.block.address - window.address))


def plan_reads(
    profile: Profile, names: Collection[str], line: LineCost, *, is_bridging: bool = True
) -> tuple[BlockRead, ...]:
    """Return the reads that bring the named values in the least time on `line`.

    With `is_bridging` False no register is read that no value needs: for meters that refuse
    what they do not have.
    """
    registers = [profile.registers[name] for name in names]
    spans = [register.span for register in registers]
    stretches = profile.stretches if is_bridging else _touching(spans)
    blocks = plan_blocks(spans, stretches=stretches, max_count=profile.max_count, line=line)
    reads = []
    for block in blocks:
        inside = [register for register in registers if block.covers(register.span)]
        registers = [register for register in registers if register not in inside]
        decoder = BlockDecoder(inside, block=block, is_low_word_first=profile.is_low_word_first)
        windows = windows_over(block, stretches=stretches, max_count=profile.max_count)
        reads.append(BlockRead(block=block, windows=windows, decoder=decoder))
    return tuple(reads)


def plan_guard(profile: Profile, line: LineCost) -> tuple[BlockRead, ...]:
    """Return the reads for the control law: currents and powers, voltages where they are cheap.

    One request for all of it is preferred, because its values belong together, as long as it
    does not hold the line half as long again as the least that would do.
    """
    guard = profile.tiers["guard"]
    voltages = [f"voltage_l{phase}" for phase in range(1, profile.phase_count + 1)]
    voltages = [name for name in voltages if name in profile.registers]
    least = plan_reads(profile, guard, line)
    limit_s = CHEAP_RATIO * wire_s(least, line)
    whole = LineCost(character_s=0.0, silence_s=0.0, turnaround_s=1.0)  # A request costs all.
    candidates = [
        plan_reads(profile, [*guard, *voltages], whole),
        plan_reads(profile, [*guard, *voltages], line),
        plan_reads(profile, guard, whole),
    ]
    return next((plan for plan in candidates if wire_s(plan, line) <= limit_s), least)


def wire_s(reads: Iterable[BlockRead], line: LineCost) -> float:
    """Return how long a plan holds the line."""
    return sum(line.wire_s(read.block.count) for read in reads)


def _touching(spans: Iterable[Span]) -> tuple[Stretch, ...]:
    """Return the stretches that contain `spans` and nothing else."""
    merged: list[Span] = []
    for span in sorted(spans):
        if merged and span.address <= merged[-1].end:
            before = merged.pop()
            end = max(before.end, span.end)
            merged.append(Span(address=before.address, count=end - before.address))
        else:
            merged.append(span)
    return tuple(Stretch(span=span) for span in merged)
