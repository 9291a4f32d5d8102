"""What a load was promised is free when its time begins, and is counted once when it flows."""

import pytest

from gateway.control.explain import sentence
from gateway.control.fold import DrawsPromised
from gateway.control.promised_draws import PromisedDraw
from tests.support.hungry_site import HungrySite, circuit

MINUTE_S = 60
BASE_A, FREE_A, KITCHEN_A = 40.0, 40.0, 20.0


def kitchen(*, until_s: float, before_a: float | None = BASE_A) -> PromisedDraw:
    """Return 13.8 kW on three phases."""
    before_ma = None if before_a is None else int(before_a * 1_000)
    return PromisedDraw(current_ma=int(KITCHEN_A * 1_000), before_ma=before_ma, until_s=until_s)


def told(site: HungrySite, draw: PromisedDraw) -> None:
    """Have control keep the room of a draw on each phase of the board."""
    site.learn(DrawsPromised(at_s=site.now_s, draws=dict.fromkeys((0, 1, 2), draw)))


def hungry() -> HungrySite:
    """Return a 100 A board on which two vehicles have all that is free."""
    site = HungrySite((circuit("board", 100),), ("board",) * 2, base_a={"board": BASE_A})
    site.plug_in(1)
    site.plug_in(2)
    site.run(10 * MINUTE_S)
    return site


def test_what_a_load_was_promised_is_taken_from_those_that_charge_until_it_flows() -> None:
    site = hungry()
    before_a = sum(site.limits_a().values())
    told(site, kitchen(until_s=site.now_s + 600))
    site.run(MINUTE_S)
    kept_a = sum(site.limits_a().values())

    assert before_a > FREE_A - 2
    # Of 100 A 5 are above the set-point, and the reserve is 15.
    assert FREE_A - KITCHEN_A - 2 < kept_a <= FREE_A - KITCHEN_A
    assert any(
        "base 40.6 A, reserve 15.0 A, 19.4 A promised to a load)" in sentence(reason)
        for reason in site.reasons().values()
    )

    site.base_a["board"] += KITCHEN_A
    site.run(2 * MINUTE_S)

    assert kept_a - 1 <= sum(site.limits_a().values()) <= FREE_A - KITCHEN_A
    assert not any("promised" in sentence(reason) for reason in site.reasons().values())
    assert not site.overclaimed


def test_a_draw_that_never_comes_is_kept_free_to_its_end_whoever_forgets_it() -> None:
    site = hungry()
    told(site, kitchen(until_s=site.now_s + 600))
    site.run(599)
    kept_a = sum(site.limits_a().values())
    site.run(3 * MINUTE_S)

    assert kept_a <= FREE_A - KITCHEN_A
    assert sum(site.limits_a().values()) > FREE_A - 2


@pytest.mark.parametrize(
    ("base_a", "owed_a"), [(40.0, 20.0), (35.0, 20.0), (50.0, 10.0), (60.0, 0.0), (80.0, 0.0)]
)
def test_what_base_has_risen_by_is_owed_no_more(base_a: float, owed_a: float) -> None:
    assert kitchen(until_s=100.0).owed_ma(int(base_a * 1_000), 0.0) == owed_a * 1_000


def test_where_nothing_measured_what_was_before_the_whole_draw_stays_owed() -> None:
    assert kitchen(until_s=100.0, before_a=None).owed_ma(80_000, 0.0) == KITCHEN_A * 1_000
