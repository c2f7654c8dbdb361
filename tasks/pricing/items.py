"""Turns an item of a request into a price: looks it up, converts it, splits it into tiers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from tasks.pricing.book import PriceBook, Product
from tasks.pricing.conversion import Conversion
from tasks.pricing.discounts import Discountable
from tasks.pricing.exact import exactly
from tasks.pricing.money import Rounding, digits_of, round_to
from tasks.pricing.request import Item
from tasks.pricing.tiers import Band, PriceTier, bands

STANDARD = "standard"
"""The tax class of an item that names none."""


@dataclass(frozen=True, slots=True)
class PricedItem:
    """An item with its exact price in the quote's currency, before discounts and taxes."""

    sku: str | None
    description: str
    quantity: Decimal
    bands: tuple[Band, ...]
    tax_class: str
    line: Discountable
    conversion: Conversion | None

    @property
    def price(self) -> Decimal:
        """The exact list price of the whole quantity."""
        return self.line.price


@dataclass(frozen=True, slots=True)
class Pricer:
    """Prices items in one currency, by one price book, with the exchange rates of one day."""

    book: PriceBook
    currency: str
    on: date
    rounding: Rounding

    def price(self, item: Item, where: str) -> PricedItem:
        """Price *item*; *where* names it in messages.

        Raises:
            InputFault: The product or an exchange rate is not known.
        """
        product = self.book.product(item.sku, where) if item.sku is not None else None
        source = product.price.currency.code if product else item.currency or self.currency
        conversion = None if source == self.currency else self._conversion(source)
        parts = bands(
            item.quantity,
            self._unit(product.price.amount if product else item.unit_price or Decimal(0), conversion),
            self._steps(product, conversion) if product else self._tiers(item, conversion),
            item.tier_mode or "volume",
        )
        return PricedItem(
            sku=item.sku,
            description=item.description or (product.name if product else ""),
            quantity=item.quantity,
            bands=parts,
            tax_class=item.tax_class or (product.tax_class if product else STANDARD),
            line=Discountable(
                where=where,
                price=_sum(parts),
                rate=item.discount_rate,
                amount=item.discount_amount,
                allowed=product is None or product.discountable,
            ),
            conversion=conversion,
        )

    def _conversion(self, source: str) -> Conversion:
        return self.book.rates.conversion(source, self.currency, self.on)

    def _unit(self, price: Decimal, conversion: Conversion | None) -> Decimal:
        """Convert a unit price, rounded as on a local price list: to the currency's digits.

        A price finer than its own currency (0.0004 USD a message) stays as fine.
        """
        if conversion is None:
            return price
        digits = digits_of(self.currency)
        decimals = -int(price.normalize().as_tuple().exponent)
        finer = decimals if decimals > digits_of(conversion.path[0]) else 0
        return round_to(conversion(price), max(digits, finer), self.rounding)

    @exactly
    def _steps(self, product: Product, conversion: Conversion | None) -> list[PriceTier]:
        unit = self._unit(product.price.amount, conversion)
        return [PriceTier(step.min_quantity, unit * (1 - step.rate)) for step in product.steps]

    def _tiers(self, item: Item, conversion: Conversion | None) -> list[PriceTier]:
        return [PriceTier(tier.min_quantity, self._unit(tier.unit_price, conversion)) for tier in item.tiers]


@exactly
def _sum(parts: tuple[Band, ...]) -> Decimal:
    return sum((band.amount() for band in parts), Decimal(0))
