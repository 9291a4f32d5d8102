"""Whether a circuit's meter shows what surely flows below it: if not, it may not sit where it is declared."""

from collections.abc import Iterable
from dataclasses import replace

from gateway.control.parameters import ControlParameters
from gateway.control.state import Doubt

REMEMBERED_S = 86_400.0


def unseen_ma(
    current_ma: int, drawn_ma: int, fed_ma: int, rating_ma: int, parameters: ControlParameters
) -> int:
    """Return what surely flows and a meter does not show, beyond what all may be wrong by, else 0.

    At least what is drawn below flows in, less what sources there give. One that shows an
    overload is believed in that.
    """
    noise_ma = rating_ma * parameters.meter_noise_ratio
    wrong_by_ma = noise_ma + (drawn_ma + fed_ma) * parameters.doubted_ratio
    hidden_ma = drawn_ma - fed_ma - current_ma
    return 0 if current_ma > rating_ma or hidden_ma <= wrong_by_ma else hidden_ma


def backwards_since_s(
    before_s: float | None, told_ma: int, noise_ma: float, at_s: float
) -> float | None:
    """Return since when a meter tells of a flow out, where nothing declared feeds what is below.

    It is over once the meter tells of a flow in: what is next to nothing has no direction.
    """
    if told_ma > noise_ma:
        return None
    return at_s if before_s is None and told_ma < -noise_ma else before_s


def doubts_of(
    before: tuple[Doubt | None, ...],
    unseen: Iterable[int | None],
    parameters: ControlParameters,
    now_s: float,
) -> tuple[Doubt | None, ...]:
    """Return, per row, the doubt in a meter that does not show what surely flows, or lately did not."""
    return tuple(
        _after(doubt, hidden_ma, parameters, now_s)
        for doubt, hidden_ma in zip(before, unseen, strict=True)
    )


def _after(
    doubt: Doubt | None, hidden_ma: int | None, parameters: ControlParameters, now_s: float
) -> Doubt | None:
    """Return a row's doubt after another look; one that has acted is remembered for a day."""
    acted_count = 0 if doubt is None else doubt.acted_count
    if hidden_ma:
        is_on = doubt is not None and doubt.over_s is None
        since_s = doubt.since_s if doubt is not None and is_on else now_s
        return Doubt(since_s=since_s, seen_s=now_s, unseen_ma=hidden_ma, acted_count=acted_count)
    if doubt is None or is_held(doubt, parameters, now_s):
        return doubt
    if doubt.over_s is not None:
        return doubt if now_s - doubt.over_s < REMEMBERED_S else None
    if hidden_ma is None and now_s - doubt.seen_s <= parameters.stale_fallback_s:
        return doubt  # A look that cannot tell absolves nobody.
    acted_count += _held_for_s(doubt, parameters, now_s) >= 0.0
    return replace(doubt, over_s=now_s, acted_count=acted_count) if acted_count else None


def is_held(doubt: Doubt, parameters: ControlParameters, now_s: float) -> bool:
    """Return whether a doubt lasts, whatever the meter shows.

    Once it has cut what flowed too little is left to tell a good meter from a bad one. So it lasts
    for a while, each time twice as long as before; a person ends it.
    """
    lasts_s = parameters.doubted_for_s * (1 << doubt.acted_count)
    return 0.0 <= _held_for_s(doubt, parameters, now_s) < min(lasts_s, parameters.doubted_most_s)


def _held_for_s(doubt: Doubt, parameters: ControlParameters, now_s: float) -> float:
    """Return for how long the worst case has counted for a doubt; negative while it has not."""
    if doubt.over_s is not None:
        return -1.0
    acts_after_s = parameters.stale_worst_case_s - parameters.stale_no_raises_s
    return now_s - doubt.since_s - parameters.doubted_after_s - acts_after_s


def doubted(
    doubt: Doubt, hidden_ma: int | None, parameters: ControlParameters, now_s: float
) -> tuple[int, float]:
    """Return what a meter did not show (0: it is believed), mA, and for how long it is not believed."""
    doubted_s = now_s - doubt.since_s - parameters.doubted_after_s
    if doubt.over_s is not None or doubted_s <= 0.0:
        return 0, 0.0
    if hidden_ma == 0 and not is_held(doubt, parameters, now_s):
        return 0, 0.0
    return hidden_ma or doubt.unseen_ma, doubted_s
