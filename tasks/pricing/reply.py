"""What the price calculator answers. Every amount is a decimal string with the currency's own digits."""

from __future__ import annotations

from datetime import date

from pydantic import BaseModel, ConfigDict, Field

from tasks.pricing.exact import Exact
from tasks.pricing.money import Rounding


class Answer(BaseModel):
    """Base of the models here."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class PriceBand(Answer):
    """A part of a line's quantity and the list price of each unit of it."""

    quantity: Exact
    unit_price: Exact


class LinePrice(Answer):
    """One line. Each column sums to the total of its name, to the last minor unit.

    Tax added: list_price − discount = net, net + tax = total.
    Tax included: list_price − discount = total, total − tax = net.
    """

    sku: str | None
    description: str
    quantity: Exact
    bands: list[PriceBand]
    list_price: Exact
    discount: Exact = Field(description="the line's own discount with its share of the order's")
    net: Exact
    tax_class: str
    tax_rate: Exact
    tax: Exact
    total: Exact


class TaxPrice(Answer):
    """One tax class: *tax* is *base* × *rate*, or *base* × *rate* ÷ (1 + *rate*) when prices include tax."""

    tax_class: str
    rate: Exact
    base: Exact
    tax: Exact


class Totals(Answer):
    """The sums of the lines."""

    list_price: Exact
    line_discounts: Exact
    order_discount: Exact
    net: Exact
    tax: Exact
    total: Exact


class ExchangeRate(Answer):
    """A conversion that was used: 1 of *source* is *rate* of *target*, by the rates of *on*."""

    source: str
    target: str
    rate: Exact
    on: date
    via: str | None = Field(description="the currency between, when no direct rate was known")


class RoiAnswer(Answer):
    """Return on investment and payback, with the formulas used."""

    months: int
    benefit: Exact
    cost: Exact
    roi: Exact | None = Field(description="0.25 is 25 %; null when it costs nothing")
    payback_months: Exact | None = Field(description="null when it is never paid back")
    formulas: list[str]


class PriceReply(Answer):
    """The result of `price_calculator`."""

    currency: str
    digits: int
    rounding: Rounding
    round_per: str
    lines: list[LinePrice]
    taxes: list[TaxPrice]
    totals: Totals
    total_text: str = Field(description="the total as people of the locale write it")
    discount_cap: Exact = Field(description="the most the caller's role may take off a line")
    exchange_rates: list[ExchangeRate]
    roi: RoiAnswer | None
