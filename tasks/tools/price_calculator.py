"""The tool `price_calculator`: what a list of items costs."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from salesboost import ToolContext, tool
from tasks.locations import data_directory
from tasks.pricing.catalogue import catalogue
from tasks.pricing.quote import price
from tasks.pricing.reply import PriceReply
from tasks.pricing.request import Item, PriceRequest


def probe() -> None:
    """Load the price book and compute a sum with a known answer."""
    book = catalogue(data_directory())
    request = PriceRequest(
        items=[Item(unit_price=Decimal("19.99"), quantity=Decimal(3))],
        discount_rate=Decimal("0.1"),
        tax_rate=Decimal("0.19"),
    )
    total = price(request, book, role="system", today=datetime.now(UTC).date()).totals.total
    if total != Decimal("64.22"):
        raise RuntimeError(f"3 × 19.99 less 10 % plus 19 % must be 64.22, got {total}")


def prepare() -> None:
    """Load the price book."""
    catalogue(data_directory())


@tool(
    name="price_calculator",
    roles={"viewer", "coach", "npc", "session_director", "compliance", "sdr", "system", "admin"},
    limit="30/minute",
    cache_ttl=300,
    timeout=10,
    effect="read",
    probe=probe,
    prepare=prepare,
)
def price_calculator(args: PriceRequest, ctx: ToolContext) -> PriceReply:
    """Price a list of items exactly: volume tiers, discounts, taxes, currency conversion, payback.

    Give each item a `quantity` and either a `sku` of the price book or a `unit_price`. Rates are fractions:
    0.1 is 10 %. Amounts are strings ("19.99") or JSON numbers. `discount_rate` and `discount_amount` come off
    the order, an item's own off the item; the caller's role caps what may come off a line. `tax_rate` is
    added, or taken out of the prices with `prices_include_tax`. With `roi` the answer says when the purchase
    pays for itself. Lines sum to the totals to the last minor unit: quote them as they are.
    """
    return price(args, catalogue(data_directory()), role=ctx.caller_role, today=datetime.now(UTC).date())
