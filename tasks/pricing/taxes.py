"""Taxes: which rate a class pays, and how much of an amount is tax."""

from __future__ import annotations

from decimal import Decimal

from tasks.pricing.exact import exactly
from tasks.pricing.request import EXEMPT, ZERO, PriceRequest


def rate_of(tax_class: str, request: PriceRequest) -> Decimal:
    """Return the rate of *tax_class*: its own, else the request's `tax_rate`; 0 when exempt."""
    if tax_class == EXEMPT:
        return ZERO
    return request.tax_rates.get(tax_class, request.tax_rate)


@exactly
def tax_in(base: Decimal, rate: Decimal, *, included: bool) -> Decimal:
    """Return the exact tax of *base*: base × rate on top, or base × rate ÷ (1 + rate) within it."""
    return base * rate / (1 + rate) if included else base * rate
