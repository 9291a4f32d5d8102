"""What a person knows of the future: something will draw more than the weeks before tell."""

from dataclasses import dataclass

from gateway.domain.electric import PerPhase, Phase
from gateway.domain.ids import CircuitId


@dataclass(frozen=True, slots=True, kw_only=True)
class CalendarEvent:
    """On a circuit `extra_ma` will be drawn on top of what is usual, between two epoch seconds.

    `note` says what it is for people, `by` who said so. One that is cancelled never was.
    """

    id: str
    circuit: CircuitId
    from_at_s: float
    until_at_s: float
    extra_ma: PerPhase
    note: str = ""
    by: str = ""
    is_cancelled: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class EventEffect:
    """What an event changes of the base a circuit is planned with while it lasts, mA.

    That is at most `before_ma` without it and `after_ma` with it, on the phase where it is most;
    both are None where the plan does not reach so far. Where nothing is learnt yet (`is_learnt`)
    the declared `worst_ma` counts, which mostly covers it; `highest_ma` is the most that was
    measured there, None without a meter.
    """

    circuit: CircuitId
    phase: Phase
    is_learnt: bool
    before_ma: int | None
    after_ma: int | None
    worst_ma: int
    highest_ma: int | None = None

    def said(self) -> str:
        """Return it in a sentence without its full stop."""
        where = f"{self.circuit}, {self.phase.name}"
        if self.before_ma is None or self.after_ma is None:
            return f"{where}: it begins later than is planned for, and counts once that is two days"
        before_a, after_a = self.before_ma / 1_000, self.after_ma / 1_000
        if self.is_learnt:
            return (
                f"{where}: {after_a:.1f} A of base are planned for while it lasts, {before_a:.1f} A"
                " without it"
            )
        worst = f"its declared worst case, {self.worst_ma / 1_000:.1f} A"
        if self.after_ma > self.before_ma:
            return f"{where}: {worst}, does not cover it: {after_a:.1f} A count while it lasts"
        if self.highest_ma is None:
            return f"{where}: nothing changes: {worst}, counts there, where nothing was measured so far"
        measured = f"at most {self.highest_ma / 1_000:.1f} A were measured without it"
        return (
            f"{where}: nothing changes: {worst}, counts there until two weeks are measured, and"
            f" covers it ({measured})"
        )
