"""What a vehicle takes as it fills up is learnt of sessions, by its state of charge or by their end."""

import pytest

from gateway.domain.acceptance import NOT_KNOWN, Acceptance
from gateway.planning.taking import Taken, acceptance_of, battery_wh_of, usual

BATTERY_WH = 60_000.0


def charged(*, from_wh: float, tells_soc: bool, offered_ma: int = 32_000) -> Acceptance:
    """Return what a session tells of a vehicle that takes 16 A, and less over its last 8 kWh."""
    has_wh, taken, highest_ma = from_wh, list[Taken](), 0
    while has_wh < BATTERY_WH - 50:
        accepts_ma = int(min(16_000, max(2_000, 16_000 * (BATTERY_WH - has_wh) / 8_000)))
        highest_ma = max(highest_ma, min(offered_ma, accepts_ma))
        if accepts_ma + 2_500 < offered_ma:  # Control counts what is nearer as taken.
            soc_pct = 100 * has_wh / BATTERY_WH if tells_soc else None
            taken.append(
                Taken(delivered_wh=has_wh - from_wh, current_ma=accepts_ma, soc_pct=soc_pct)
            )
        has_wh += 100.0
    full_wh = None if tells_soc else BATTERY_WH - from_wh
    known_wh = battery_wh_of(30_000.0, 50.0) if tells_soc else None
    return acceptance_of(taken, highest_ma=highest_ma, full_wh=full_wh, battery_wh=known_wh)


@pytest.mark.parametrize("tells_soc", [True, False])
def test_a_taper_is_known_by_what_is_missing_until_it_is_full(*, tells_soc: bool) -> None:
    known = charged(from_wh=30_000, tells_soc=tells_soc)

    assert known.max_ma == 16_000
    assert known.battery_wh == (pytest.approx(BATTERY_WH) if tells_soc else None)
    assert known.takes_ma(12_000) == 16_000
    for missing_wh in (6_000, 4_000, 2_500, 1_500):
        assert known.takes_ma(missing_wh) == pytest.approx(2 * missing_wh, rel=0.35)


def test_who_was_never_offered_more_has_shown_no_maximum() -> None:
    known = charged(from_wh=30_000, tells_soc=False, offered_ma=12_000)

    assert known.max_ma is None
    assert known.takes_ma(4_000) == pytest.approx(8_000, rel=0.35)
    nothing = acceptance_of((), highest_ma=12_000, full_wh=9_000.0, battery_wh=None)
    assert (nothing, battery_wh_of(1_000.0, 2.0)) == (NOT_KNOWN, None)


def test_one_session_is_no_rule_and_the_middle_of_several_is() -> None:
    one = charged(from_wh=30_000, tells_soc=True)
    odd = Acceptance(max_ma=6_000, taper=((20_000.0, 2_000),))

    assert usual([one]) == NOT_KNOWN
    assert usual([one, odd, one]).takes_ma(30_000) == 16_000
    assert usual([one, odd, one]).takes_ma(4_000) == one.takes_ma(4_000)


def test_a_taper_counts_from_now_on_and_never_below_the_least_current() -> None:
    known = Acceptance(taper=((8_000.0, 12_000), (2_000.0, 3_000)))

    assert known.taper_from(10_000.0, min_ma=6_000) == ((2_000.0, 12_000), (8_000.0, 6_000))
    assert known.taper_from(5_000.0, min_ma=6_000) == ((0.0, 12_000), (3_000.0, 6_000))
