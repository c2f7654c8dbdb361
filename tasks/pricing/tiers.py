"""Volume prices in the two ways of the trade.

``volume``: the whole quantity costs the price of the tier it reaches. ``graduated``: each unit costs the
price of the tier it lies in, as in a tax table. A tier that starts at 25 begins with the 25th unit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from typing import Literal

from tasks.pricing.exact import exactly

TierMode = Literal["volume", "graduated"]


@dataclass(frozen=True, slots=True)
class PriceTier:
    """From the *min_quantity*-th unit on, a unit costs *unit_price*."""

    min_quantity: int
    unit_price: Decimal


@dataclass(frozen=True, slots=True)
class Band:
    """A part of a quantity and what each unit of it costs."""

    quantity: Decimal
    unit_price: Decimal

    @exactly
    def amount(self) -> Decimal:
        """Return the exact price of the band."""
        return self.quantity * self.unit_price


@exactly
def bands(
    quantity: Decimal, unit_price: Decimal, tiers: Sequence[PriceTier] = (), mode: TierMode = "volume"
) -> tuple[Band, ...]:
    """Split *quantity* into bands of one price each.

    *unit_price* holds below the first tier. The bands' quantities sum to *quantity*.

    Raises:
        ValueError: The tiers do not rise.
    """
    for lower, upper in pairwise(tiers):
        if upper.min_quantity <= lower.min_quantity:
            raise ValueError(f"tiers must rise in min_quantity, got {upper.min_quantity} after {lower.min_quantity}")
    if mode == "volume":
        reached = [tier.unit_price for tier in tiers if quantity >= tier.min_quantity]
        return (Band(quantity, reached[-1] if reached else unit_price),)
    starts = [Decimal(0), *(Decimal(tier.min_quantity - 1) for tier in tiers)]
    ends = [*starts[1:], quantity]
    prices = [unit_price, *(tier.unit_price for tier in tiers)]
    return tuple(
        Band(min(end, quantity) - start, price)
        for start, end, price in zip(starts, ends, prices, strict=True)
        if min(end, quantity) > start
    )
