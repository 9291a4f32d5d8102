"""Numbers that differ are not told as the same."""

import pytest

from gateway.planning.quote_words import kwh_apart


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
    ],
)
def test_energies_side_by_side_are_told_apart(
    energies_wh: tuple[float, ...], said: tuple[str, ...]
) -> None:
    assert kwh_apart(*energies_wh) == said
