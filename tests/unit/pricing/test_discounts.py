"""Discounts and their caps."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from moneyed import Money

from salesboost.faults import InputFault, PermissionFault
from tasks.pricing.book import PriceBook, Product
from tasks.pricing.discounts import CAPS
from tasks.pricing.quote import price
from tasks.pricing.reply import PriceReply
from tasks.pricing.request import PriceRequest

TODAY = date(2026, 11, 2)
BOOK = PriceBook(
    products={"DAY": Product("DAY", "Installation day", Money(Decimal(1000), "USD"), "service", discountable=False)}
)


def quote(role: str = "admin", **payload: Any) -> PriceReply:
    return price(PriceRequest.model_validate(payload), BOOK, role=role, today=TODAY)


def test_rates_come_off_before_amounts_and_lines_before_the_order() -> None:
    # Given 100 with 10 % and 5 off the line, and 20 % and 8 off the order
    reply = quote(
        items=[{"unit_price": 100, "discount_rate": 0.1, "discount_amount": 5}],
        discount_rate=0.2,
        discount_amount=8,
    )

    # Then 100 → 90 → 85 → 68 → 60
    assert reply.totals.line_discounts == 15
    assert reply.totals.order_discount == 25
    assert reply.totals.net == 60


def test_an_orders_discount_leaves_out_what_must_not_be_discounted() -> None:
    reply = quote(items=[{"sku": "DAY"}, {"unit_price": 500}], discount_rate=0.1, discount_amount=50)

    assert [line.discount for line in reply.lines] == [0, 100]


def test_a_discount_on_what_must_not_be_discounted_is_refused() -> None:
    with pytest.raises(InputFault, match=r"items\[0\]: discount_rate and discount_amount must be 0"):
        quote(items=[{"sku": "DAY", "discount_rate": 0.01}])


def test_discounts_over_the_price_are_refused() -> None:
    with pytest.raises(InputFault, match=r"items\[0\]: discounts must be at most the line's price 10, got 10.5"):
        quote(items=[{"unit_price": 10, "discount_rate": 0.5, "discount_amount": 5.5}])
    with pytest.raises(InputFault, match=r"discount_amount must be at most 10, .*got 11"):
        quote(items=[{"unit_price": 10}], discount_amount=11)


def test_the_cap_is_exact_and_the_refusal_says_who_may() -> None:
    allowed = quote("sdr", items=[{"unit_price": 100}], discount_rate=0.15)
    assert allowed.totals.net == 85

    with pytest.raises(PermissionFault, match=r"15\.01 % off .* cap of role sdr is 15 %: ask admin, session_dir"):
        quote("sdr", items=[{"unit_price": 100}], discount_rate=0.1501)


def test_discounts_cannot_be_stacked_past_the_cap() -> None:
    with pytest.raises(PermissionFault, match=r"items\[1\]: discounts take 19 % off"):
        quote("sdr", items=[{"unit_price": 9}, {"unit_price": 9, "discount_rate": 0.1}], discount_rate=0.1)


def test_a_role_without_a_cap_may_give_nothing() -> None:
    assert quote("stranger", items=[{"unit_price": 9}]).discount_cap == 0
    with pytest.raises(PermissionFault, match="the cap of role stranger is 0 %"):
        quote("stranger", items=[{"unit_price": 9}], discount_amount=1)


def test_an_amount_that_is_the_cap_exactly_is_allowed_when_shares_are_periodic() -> None:
    reply = quote("sdr", items=[{"unit_price": "1"}, {"unit_price": "1"}, {"unit_price": "1"}], discount_amount="0.45")

    assert reply.totals.net == Decimal("2.55")


@settings(deadline=None)
@given(
    role=st.sampled_from(sorted(CAPS)),
    prices=st.lists(st.integers(100, 10**7), min_size=1, max_size=6),
    own=st.integers(0, 40),
    order=st.integers(0, 40),
    per=st.sampled_from(["line", "total"]),
)
def test_no_answered_line_is_below_what_the_cap_leaves(
    role: str, prices: list[int], own: int, order: int, per: str
) -> None:
    # Given lines with a discount of their own below an order's discount
    payload = {
        "items": [{"unit_price": f"{cents / 100:.2f}", "discount_rate": own / 100} for cents in prices],
        "discount_rate": order / 100,
        "round_per": per,
    }
    together = 1 - (1 - Decimal(own) / 100) * (1 - Decimal(order) / 100)

    # When it is priced, it is refused exactly when both together pass the cap
    if together > CAPS[role]:
        with pytest.raises(PermissionFault):
            quote(role, **payload)
    else:
        for line in quote(role, **payload).lines:
            assert line.net >= line.list_price * (1 - CAPS[role]) - Decimal("0.02")
