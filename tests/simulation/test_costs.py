"""The table of what rules cost is of laws that differ from the law as built."""

import pytest

from tests.simulation.costs import VARIANTS, Variant

A_WHILE_S = 1_200.0
AS_BUILT, *OTHERWISE = VARIANTS


@pytest.mark.parametrize("variant", OTHERWISE, ids=lambda variant: variant.name)
def test_a_variant_is_another_law(variant: Variant) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        if variant.patch is not None:
            variant.patch(monkeypatch)  # It fails where there is nothing to be replaced.

    assert variant.patch is not None or variant.parameters != AS_BUILT.parameters


def test_a_variant_is_run_as_it_says() -> None:
    without_falls = next(v for v in OTHERWISE if "falls" in v.name)

    assert without_falls.run(1, A_WHILE_S) != AS_BUILT.run(1, A_WHILE_S)
    assert AS_BUILT.run(1, A_WHILE_S) == AS_BUILT.run(1, A_WHILE_S)
