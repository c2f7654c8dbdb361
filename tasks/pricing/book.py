"""The price book: products with their tier schedules, exchange rates and discount caps, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from difflib import get_close_matches

from moneyed import Money

from salesboost.faults import InputFault
from tasks.pricing.conversion import RateTable
from tasks.pricing.discounts import CAPS


@dataclass(frozen=True, slots=True)
class TierStep:
    """From the *min_quantity*-th unit on, *rate* is off the product's price."""

    min_quantity: int
    rate: Decimal


@dataclass(frozen=True, slots=True)
class Product:
    """One entry of the price book."""

    sku: str
    name: str
    price: Money
    tax_class: str
    steps: tuple[TierStep, ...] = ()
    discountable: bool = True
    sold: bool = True


@dataclass(frozen=True, slots=True)
class PriceBook:
    """All that prices depend on beside the request."""

    products: Mapping[str, Product] = field(default_factory=dict[str, Product])
    rates: RateTable = field(default_factory=RateTable)
    caps: Mapping[str, Decimal] = field(default_factory=lambda: dict(CAPS))

    def product(self, sku: str, where: str) -> Product:
        """Return the product *sku*.

        Raises:
            InputFault: There is none, or it is not sold any more. The message names *where* it was asked for.
        """
        product = self.products.get(sku)
        if product is None:
            near = get_close_matches(sku.upper(), self.products, n=3)
            hint = f"did you mean {', '.join(near)}?" if near else f"it holds {len(self.products)} products"
            raise InputFault(f"{where}.sku: {sku!r} is not in the price book; {hint}")
        if not product.sold:
            raise InputFault(f"{where}.sku: {sku} ({product.name}) is retired and can no longer be quoted")
        return product
