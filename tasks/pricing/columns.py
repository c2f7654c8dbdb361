"""The two ways to round a quote, both with columns that sum to their totals.

Per line, each line's list price, net and tax is rounded from its exact value, and totals are sums. On the
total, the list price, the taxable base of each class and its tax are rounded once (EN 16931 computes an
invoice's tax so, category by category) and shared out to the lines by largest remainder.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from tasks.pricing.allocation import spread
from tasks.pricing.exact import exactly
from tasks.pricing.money import Rounding, round_to
from tasks.pricing.taxes import tax_in

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class ExactLine:
    """A line before rounding.

    Attributes:
        price: The list price.
        off: What the line's own discounts take off it.
        share: The line's part of the order's discount.
    """

    price: Decimal
    off: Decimal
    share: Decimal
    tax_class: str
    tax_rate: Decimal


@dataclass(frozen=True, slots=True)
class Columns:
    """Rounded figures, line by line; *bases* are what is left after discounts (with tax when included)."""

    prices: list[Decimal]
    bases: list[Decimal]
    taxes: list[Decimal]
    line_discounts: Decimal
    order_discount: Decimal


@exactly
def per_line(lines: Sequence[ExactLine], digits: int, mode: Rounding, *, included: bool) -> Columns:
    """Round each line; totals are sums. Only the order's discount is shared out."""
    prices = [round_to(line.price, digits, mode) for line in lines]
    nets = [round_to(line.price - line.off, digits, mode) for line in lines]
    discount = min(round_to(sum((line.share for line in lines), ZERO), digits, mode), sum(nets, ZERO))
    after = [max(net - line.share, ZERO) for net, line in zip(nets, lines, strict=True)]
    bases = spread(sum(nets, ZERO) - discount, after, digits) if discount else nets
    taxes = [
        round_to(tax_in(base, line.tax_rate, included=included), digits, mode)
        for base, line in zip(bases, lines, strict=True)
    ]
    return Columns(prices, bases, taxes, sum(prices, ZERO) - sum(nets, ZERO), discount)


@exactly
def on_total(lines: Sequence[ExactLine], digits: int, mode: Rounding, *, included: bool) -> Columns:
    """Round the totals once and share them out to classes, then to lines."""
    nets = [line.price - line.off - line.share for line in lines]
    total = round_to(sum(nets, ZERO), digits, mode)
    members: dict[str, list[int]] = {}
    for i, line in enumerate(lines):
        members.setdefault(line.tax_class, []).append(i)
    of_class = spread(total, [sum((nets[i] for i in places), ZERO) for places in members.values()], digits)
    bases, taxes = [ZERO] * len(lines), [ZERO] * len(lines)
    for places, base in zip(members.values(), of_class, strict=True):
        rate = lines[places[0]].tax_rate
        for i, part in zip(places, spread(base, [nets[i] for i in places], digits), strict=True):
            bases[i] = part
        tax = round_to(tax_in(base, rate, included=included), digits, mode)
        exact_taxes = [tax_in(bases[i], rate, included=included) for i in places]
        for i, part in zip(places, spread(tax, exact_taxes, digits), strict=True):
            taxes[i] = part
    whole = round_to(sum((line.price for line in lines), ZERO), digits, mode)
    prices = spread(whole, [line.price for line in lines], digits, at_least=bases)
    off = sum((line.off for line in lines), ZERO)
    by_order = any(line.share for line in lines)
    line_discounts = min(round_to(off, digits, mode), whole - total) if by_order else whole - total
    return Columns(prices, bases, taxes, line_discounts, whole - total - line_discounts)
