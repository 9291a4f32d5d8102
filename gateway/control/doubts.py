"""Whether a circuit's meter shows what surely flows below it: if not, it may not sit where it is declared."""

from collections.abc import Iterable

from gateway.control.parameters import ControlParameters


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


def unseen_since_s(
    before_s: tuple[float | None, ...], unseen: Iterable[int], now_s: float
) -> tuple[float | None, ...]:
    """Return, per row, since when its meter has not shown what surely flows."""
    return tuple(
        (now_s if since_s is None else since_s) if hidden_ma else None
        for since_s, hidden_ma in zip(before_s, unseen, strict=True)
    )


def doubted_for_s(since_s: float | None, parameters: ControlParameters, now_s: float) -> float:
    """Return for how long a meter has been doubted that shows too little since `since_s`, else 0."""
    return 0.0 if since_s is None else max(0.0, now_s - since_s - parameters.doubted_after_s)
