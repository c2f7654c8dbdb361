"""Parts sum to the total, to the last minor unit."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.pricing.allocation import spread
from tasks.pricing.money import MODES, Rounding, round_to

amounts = st.lists(st.integers(0, 10**16).map(lambda parts: Decimal(parts).scaleb(-7)), min_size=1, max_size=30)


@settings(deadline=None)
@given(parts=amounts, digits=st.sampled_from([0, 2, 3]), mode=st.sampled_from(sorted(MODES)))
def test_the_parts_sum_to_the_rounded_total_and_none_moves_by_a_unit(
    parts: list[Decimal], digits: int, mode: Rounding
) -> None:
    # Given exact parts and their sum, rounded in some mode
    total = round_to(sum(parts, Decimal(0)), digits, mode)

    # When the total is spread
    shares = spread(total, parts, digits)

    # Then the shares sum to it exactly and each is less than a minor unit from its part
    assert sum(shares) == total
    assert all(abs(share - part) < Decimal(1).scaleb(-digits) for share, part in zip(shares, parts, strict=True))


@settings(deadline=None)
@given(pairs=st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 5000)), min_size=1, max_size=20))
def test_no_part_falls_below_what_it_must_be(pairs: list[tuple[int, int]]) -> None:
    # Given parts of thousandths and, for each, a rounded lower bound whose sum the total reaches
    parts = [Decimal(max(pair)) / 1000 for pair in pairs]
    lowest = spread(
        round_to(sum((Decimal(min(pair)) / 1000 for pair in pairs), Decimal(0)), 2, "half_up"),
        [Decimal(min(pair)) / 1000 for pair in pairs],
        2,
    )
    total = round_to(sum(parts, Decimal(0)), 2, "half_up")

    # When the total is spread above the bounds
    shares = spread(total, parts, 2, at_least=lowest)

    # Then it is spent and every bound holds
    assert sum(shares) == total
    assert all(share >= low for share, low in zip(shares, lowest, strict=True))


def test_the_largest_remainders_get_the_missing_units() -> None:
    thirds = [Decimal("33.333"), Decimal("33.334"), Decimal("33.333")]

    assert spread(Decimal("100.00"), thirds, 2) == [Decimal("33.33"), Decimal("33.34"), Decimal("33.33")]


def test_a_tie_goes_to_the_earlier_part() -> None:
    assert spread(Decimal(1), [Decimal("0.5"), Decimal("0.5")], 0) == [Decimal(1), Decimal(0)]


def test_a_total_below_the_bounds_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot be spread"):
        spread(Decimal(1), [Decimal(2)], 0, at_least=[Decimal(2)])
