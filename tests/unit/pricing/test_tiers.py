"""Volume and graduated prices."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.pricing.tiers import Band, PriceTier, TierMode, bands

TIERS = (PriceTier(1, Decimal(10)), PriceTier(25, Decimal(8)), PriceTier(100, Decimal(5)))


@pytest.mark.parametrize(("quantity", "price"), [("24", 10), ("24.5", 10), ("25", 8), ("99", 8), ("100", 5)])
def test_volume_prices_hold_for_the_whole_quantity(quantity: str, price: int) -> None:
    assert bands(Decimal(quantity), Decimal(12), TIERS) == (Band(Decimal(quantity), Decimal(price)),)


def test_graduated_prices_hold_for_the_units_in_each_tier() -> None:
    # When 120 units are split: units 1 to 24, 25 to 99, 100 to 120
    found = bands(Decimal(120), Decimal(12), TIERS, "graduated")

    # Then each tier has its units
    assert found == (
        Band(Decimal(24), Decimal(10)),
        Band(Decimal(75), Decimal(8)),
        Band(Decimal(21), Decimal(5)),
    )
    assert sum(band.amount() for band in found) == 945


@pytest.mark.parametrize("mode", ["volume", "graduated"])
def test_the_unit_price_holds_below_the_first_tier(mode: TierMode) -> None:
    assert bands(Decimal(3), Decimal(12), (PriceTier(5, Decimal(9)),), mode) == (Band(Decimal(3), Decimal(12)),)


@settings(deadline=None)
@given(
    quantity=st.integers(1, 10**9).map(lambda parts: Decimal(parts).scaleb(-3)),
    starts=st.sets(st.integers(1, 10**5), max_size=8),
    mode=st.sampled_from(["volume", "graduated"]),
)
def test_the_bands_hold_the_whole_quantity(quantity: Decimal, starts: set[int], mode: TierMode) -> None:
    tiers = [PriceTier(start, Decimal(1000 - place)) for place, start in enumerate(sorted(starts))]

    found = bands(quantity, Decimal(2000), tiers, mode)

    assert sum(band.quantity for band in found) == quantity
    assert all(band.quantity > 0 for band in found)


def test_tiers_that_do_not_rise_are_refused() -> None:
    with pytest.raises(ValueError, match="tiers must rise in min_quantity, got 5 after 10"):
        bands(Decimal(1), Decimal(1), (PriceTier(10, Decimal(1)), PriceTier(5, Decimal(1))))
