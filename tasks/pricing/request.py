"""What the price calculator can be asked. Amounts are exact decimals; rates are fractions."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tasks.pricing.exact import Price, Quantity, Share
from tasks.pricing.money import CurrencyCode, LocaleName, Rounding
from tasks.pricing.tiers import TierMode

ZERO = Decimal(0)
EXEMPT = "exempt"
"""The tax class that is never taxed."""

TaxClass = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,31}$")]


class Strict(BaseModel):
    """Base of the models here: immutable, nothing unknown, nothing converted silently."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Tier(Strict):
    """From the *min_quantity*-th unit on, a unit costs *unit_price*."""

    min_quantity: int = Field(ge=1, le=1_000_000_000)
    unit_price: Price


class Item(Strict):
    """One line: a product of the price book by `sku`, or anything by its `unit_price`."""

    sku: str | None = Field(default=None, min_length=1, max_length=64)
    description: str = Field(default="", max_length=200)
    quantity: Quantity = Decimal(1)
    unit_price: Price | None = None
    currency: CurrencyCode | None = Field(default=None, description="of unit_price; the quote's when absent")
    tiers: list[Tier] = Field(default_factory=list[Tier], max_length=50)
    tier_mode: TierMode | None = Field(
        default=None, description="volume: one price for all units; graduated: each unit at its tier's price"
    )
    discount_rate: Share = Field(default=ZERO, description="fraction off this line")
    discount_amount: Price = Field(default=ZERO, description="off this line, in the quote's currency")
    tax_class: TaxClass | None = Field(default=None, description="'exempt' is never taxed")

    @model_validator(mode="after")
    def _one_source_of_price(self) -> Item:
        if (self.sku is None) == (self.unit_price is None):
            got = "neither" if self.sku is None else "both"
            raise ValueError(f"give either sku (price from the price book) or unit_price (any other thing), got {got}")
        if self.sku is not None and (self.tiers or self.currency):
            raise ValueError("tiers and currency go with unit_price; a sku has them in the price book")
        starts = [tier.min_quantity for tier in self.tiers]
        if starts != sorted(set(starts)):
            raise ValueError(f"tiers must rise in min_quantity, got {starts}")
        return self


class RoiQuestion(Strict):
    """What the purchase brings and costs beside its price, in the quote's currency, without tax."""

    monthly_benefit: Price = Field(description="money saved or earned in a month")
    months: int = Field(default=12, ge=1, le=600)
    one_time_cost: Price = Field(default=ZERO, description="such as roll-out and training")
    monthly_cost: Price = Field(default=ZERO, description="such as running it")


class PriceRequest(Strict):
    """The payload of `price_calculator`."""

    items: list[Item] = Field(min_length=1, max_length=200)
    currency: CurrencyCode = "USD"
    discount_rate: Share = Field(default=ZERO, description="fraction off the order, after the lines' discounts")
    discount_amount: Price = Field(default=ZERO, description="off the order, after discount_rate")
    tax_rate: Share = Field(default=ZERO, description="of every tax class that tax_rates does not name")
    tax_rates: dict[TaxClass, Share] = Field(default_factory=dict[str, Decimal], max_length=20)
    prices_include_tax: bool = Field(default=False, description="true: tax is taken out, not added")
    rounding: Rounding = "half_up"
    round_per: Literal["line", "total"] = Field(
        default="line", description="line: each line is rounded; total: once, then shared out to the lines"
    )
    as_of: Annotated[date, Field(strict=False)] | None = Field(
        default=None, description="day of the exchange rates, YYYY-MM-DD; today (UTC) when absent"
    )
    locale: LocaleName = "en_US"
    roi: RoiQuestion | None = None

    @model_validator(mode="after")
    def _exempt_stays_exempt(self) -> PriceRequest:
        if self.tax_rates.get(EXEMPT, ZERO) != 0:
            raise ValueError(f"tax_rates.{EXEMPT} must be 0, got {self.tax_rates[EXEMPT]}")
        return self
