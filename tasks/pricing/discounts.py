"""Discounts: of a line, of the order, and how much a role may give.

A line's own rate comes off first, then its own amount; the order's rate comes off what is left, then the
order's amount, shared over the lines by what each still costs. Lines that must not be discounted take no
part. A cap bounds everything that came off one line together, so that discounts cannot be stacked past it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from salesboost.faults import InputFault, PermissionFault
from tasks.pricing.exact import exactly, plain
from tasks.pricing.money import round_to

CAPS: Final[Mapping[str, Decimal]] = {
    "viewer": Decimal("0.15"),
    "coach": Decimal("0.15"),
    "npc": Decimal("0.15"),
    "compliance": Decimal("0.15"),
    "sdr": Decimal("0.15"),
    "session_director": Decimal("0.25"),
    "system": Decimal(1),
    "admin": Decimal(1),
}
"""The most a role may take off a line, as a fraction of its list price. The figures are a guess at a usual
discount authority; `discount_caps.csv` beside the price book replaces them."""


@dataclass(frozen=True, slots=True)
class Discountable:
    """A line's price before discounts, and what may be taken off it.

    Attributes:
        where: The line in the payload, such as ``items[0]``.
        allowed: False when the price book forbids discounts on it.
    """

    where: str
    price: Decimal
    rate: Decimal
    amount: Decimal
    allowed: bool


@exactly
def line_discount(line: Discountable) -> Decimal:
    """Return the exact discount that *line* itself states.

    Raises:
        InputFault: The line is not discountable, or the discount is more than its price.
    """
    if not line.allowed and (line.rate or line.amount):
        raise InputFault(f"{line.where}: discount_rate and discount_amount must be 0, this product is not discountable")
    discount = line.price * line.rate + line.amount
    if discount > line.price:
        raise InputFault(
            f"{line.where}: discounts must be at most the line's price {plain(line.price)}, got {plain(discount)}"
        )
    return discount


@exactly
def order_shares(bases: Sequence[Decimal], rate: Decimal, amount: Decimal) -> list[Decimal]:
    """Return each line's exact share of the order's discount.

    *bases* are what the lines cost after their own discounts, 0 for those that must not be discounted. An
    *amount* over what they cost takes it all (see `check_order_amount`).
    """
    rests = [base * (1 - rate) for base in bases]
    left = sum(rests, Decimal(0))
    taken = min(amount, left)
    return [base - rest + (taken * rest / left if taken else 0) for base, rest in zip(bases, rests, strict=True)]


@exactly
def check_order_amount(bases: Sequence[Decimal], rate: Decimal, amount: Decimal) -> None:
    """Check the order's discount against what *bases* leave after *rate*.

    Raises:
        InputFault: *amount* is more than that.
    """
    left = sum(bases, Decimal(0)) * (1 - rate)
    if amount > left:
        raise InputFault(
            f"discount_amount must be at most {plain(left.normalize())}, "
            f"what the discountable lines still cost, got {plain(amount)}"
        )


@exactly
def check_caps(
    lines: Sequence[Discountable], off: Sequence[Decimal], role: str, caps: Mapping[str, Decimal]
) -> Decimal:
    """Check the exact sums taken *off* each line against the cap of *role* and return the cap.

    Raises:
        PermissionFault: More than the cap comes off a line; the message names who may give it.
    """
    cap = caps.get(role, Decimal(0))
    for line, discount in zip(lines, off, strict=True):
        # Shares of an order's discount are quotients: 50 decimals are far below money and cut the tails.
        if round_to(discount, 50, "half_even") > line.price * cap:
            share = discount / line.price
            others = sorted(name for name, limit in caps.items() if share <= limit)
            remedy = f"ask {', '.join(others)}" if others else "nobody may give it"
            raise PermissionFault(
                f"{line.where}: discounts take {_percent(share)} off its list price, "
                f"the cap of role {role} is {_percent(cap)}: {remedy}"
            )
    return cap


def _percent(share: Decimal) -> str:
    return f"{plain(round_to(share * 100, 2, 'up').normalize())} %"
