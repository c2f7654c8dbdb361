"""Rounds parts so that they sum to a given total, to the last minor unit.

The largest-remainder method (Hamilton's) on the parts' own exact values: each part becomes its floor or, for
the largest remainders, its floor plus one unit. A tie goes to the earlier part.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_FLOOR, Decimal

from tasks.pricing.exact import exactly


@exactly
def spread(
    total: Decimal, parts: Sequence[Decimal], digits: int, *, at_least: Sequence[Decimal] | None = None
) -> list[Decimal]:
    """Return *parts* rounded to *digits* decimals so that they sum to *total* exactly.

    Each result is within one unit of its part whenever *total* is the parts' sum rounded in any mode and
    *at_least* (already rounded, none above *total* in sum) does not force it away; it is never below
    *at_least*.

    Raises:
        ValueError: *total* is below the sum of *at_least*, or there is something to give and no part.
    """
    unit = Decimal(1).scaleb(-digits)
    lowest = list(at_least) if at_least is not None else [Decimal(0)] * len(parts)
    floors = [part.quantize(unit, rounding=ROUND_FLOOR) for part in parts]
    shares = [max(floor, low) for floor, low in zip(floors, lowest, strict=True)]
    missing = int((total - sum(shares)) / unit)
    remainders = [part - share for part, share in zip(parts, shares, strict=True)]
    if missing >= 0:
        order = sorted(range(len(parts)), key=lambda index: -remainders[index])
    else:
        order = sorted(range(len(parts)), key=lambda index: remainders[index])
    step = unit if missing >= 0 else -unit
    while missing:
        left = missing
        for index in order:
            if missing and (step > 0 or shares[index] > lowest[index]):
                shares[index] += step
                missing -= 1 if step > 0 else -1
        if missing == left:
            raise ValueError(f"{total} cannot be spread over {len(parts)} parts that are at least {lowest}")
    return shares
