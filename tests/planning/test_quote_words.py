"""Numbers that differ are not told as the same, and times as the building's clock shows them."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from gateway.planning.quote_words import clock_said, kwh_apart


@pytest.mark.parametrize(
    ("energies_wh", "said"),
    [
        ((5_000.0,), ("5.0 kWh",)),
        ((20_000.0, 0.0), ("20.0 kWh", "0.0 kWh")),
        ((680.0, 665.0), ("0.68 kWh", "0.67 kWh")),
        ((680.0, 679.0), ("0.680 kWh", "0.679 kWh")),
        ((680.0, 680.2), ("0.7 kWh", "0.7 kWh")),
        ((680.0, 665.0, 0.0), ("0.68 kWh", "0.67 kWh", "0.00 kWh")),
        ((20_000.0, 19_960.0), ("20.00 kWh", "19.96 kWh")),
        # Little is not nothing.
        ((1.0,), ("0.001 kWh",)),
        ((40.0,), ("0.04 kWh",)),
        ((5_000.0, 10.0), ("5.00 kWh", "0.01 kWh")),
    ],
)
def test_energies_side_by_side_are_told_apart(
    energies_wh: tuple[float, ...], said: tuple[str, ...]
) -> None:
    assert kwh_apart(*energies_wh) == said


def test_a_time_is_told_with_its_day_unless_that_is_today() -> None:
    zone = ZoneInfo("Europe/Berlin")
    noon_s = datetime(2026, 10, 21, 12, tzinfo=zone).timestamp()  # A Wednesday.
    days = [clock_said(noon_s + 86_400 * day, noon_s, zone) for day in range(7)]

    assert days[:4] == ["12:00", "Thu 12:00", "Fri 12:00", "Sat 12:00"]
    # The clock goes back in the night to the 25th.
    assert days[4:] == ["Sun 11:00", "Mon 11:00", "Tue 11:00"]
    assert clock_said(noon_s - 14_400 + 540, noon_s, zone) == "08:09"
    assert clock_said(noon_s - 43_201, noon_s, zone) == "Tue 23:59"
