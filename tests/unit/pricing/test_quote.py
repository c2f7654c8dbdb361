"""Quotes: known answers, and columns that always sum."""

from __future__ import annotations

import csv
from collections import defaultdict
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.locations import REPOSITORY
from tasks.pricing.book import PriceBook
from tasks.pricing.catalogue import catalogue
from tasks.pricing.money import MODES, round_to
from tasks.pricing.quote import price
from tasks.pricing.reply import PriceReply
from tasks.pricing.request import PriceRequest

TODAY = date(2026, 11, 2)
DATA = REPOSITORY / "examples" / "data"


def quote(**payload: Any) -> PriceReply:
    return price(PriceRequest.model_validate(payload), PriceBook(), role="admin", today=TODAY)


def test_tax_is_added_or_taken_out() -> None:
    items = [{"unit_price": "119.00"}]

    added = quote(items=items, tax_rate=0.19).totals
    included = quote(items=items, tax_rate=0.19, prices_include_tax=True).totals

    assert [str(part) for part in (added.net, added.tax, added.total)] == ["119.00", "22.61", "141.61"]
    assert [str(part) for part in (included.net, included.tax, included.total)] == [
        "100.00",
        "19.00",
        "119.00",
    ]


def test_a_tax_class_has_its_own_rate_and_exempt_has_none() -> None:
    reply = quote(
        items=[
            {"unit_price": 100, "tax_class": "books"},
            {"unit_price": 100},
            {"unit_price": 100, "tax_class": "exempt"},
        ],
        tax_rate=0.2,
        tax_rates={"books": 0.07},
    )

    assert [(row.tax_class, str(row.base), str(row.tax)) for row in reply.taxes] == [
        ("books", "100.00", "7.00"),
        ("standard", "100.00", "20.00"),
        ("exempt", "100.00", "0.00"),
    ]


@pytest.mark.parametrize(("currency", "expected"), [("JPY", "334"), ("USD", "333.61"), ("KWD", "333.612")])
def test_amounts_have_the_currencys_digits(currency: str, expected: str) -> None:
    reply = quote(items=[{"unit_price": "111.204", "quantity": 3}], currency=currency)

    assert str(reply.totals.total) == expected
    assert reply.digits == len(expected.partition(".")[2])


def test_rounding_each_line_and_rounding_the_total_differ_as_they_should() -> None:
    # Given three lines of 0.125
    items = [{"unit_price": "0.125"}] * 3

    # Then each rounds up to 0.13, or their sum of 0.375 to 0.38, shared out
    per_line = quote(items=items, round_per="line")
    on_total = quote(items=items, round_per="total")
    assert per_line.totals.total == Decimal("0.39")
    assert on_total.totals.total == Decimal("0.38")
    assert [str(line.total) for line in on_total.lines] == ["0.13", "0.13", "0.12"]


def test_half_even_is_one_parameter_away() -> None:
    items = [{"unit_price": "1234.565"}]

    assert quote(items=items).totals.total == Decimal("1234.57")
    assert quote(items=items, rounding="half_even").totals.total == Decimal("1234.56")


def test_the_answer_holds_no_float() -> None:
    reply = quote(
        items=[{"unit_price": 0.1, "quantity": 3.5}],
        tax_rate=0.07,
        discount_rate=0.3,
        roi={"monthly_benefit": 0.05},
    )

    def leaves(value: object) -> list[object]:
        if isinstance(value, dict):
            return [leaf for child in value.values() for leaf in leaves(child)]
        if isinstance(value, list):
            return [leaf for child in value for leaf in leaves(child)]
        return [value]

    assert not [leaf for leaf in leaves(reply.model_dump()) if isinstance(leaf, float)]
    assert not [leaf for leaf in leaves(reply.model_dump(mode="json")) if isinstance(leaf, float)]


amount = st.integers(0, 10**9).map(lambda parts: f"{Decimal(parts) / 10_000}")
share = st.integers(0, 1000).map(lambda thousandths: f"{Decimal(thousandths) / 1000}")
item = st.fixed_dictionaries(
    {
        "unit_price": amount,
        "quantity": st.integers(1, 10**7).map(lambda parts: f"{Decimal(parts) / 1000}"),
        "discount_rate": share,
        "tax_class": st.sampled_from(["standard", "books", "exempt"]),
    }
)


order = st.fixed_dictionaries(
    {
        "items": st.lists(item, min_size=1, max_size=12),
        "discount_rate": share,
        "tax_rate": share,
        "tax_rates": st.fixed_dictionaries({"books": share}),
        "currency": st.sampled_from(["USD", "JPY", "KWD"]),
        "rounding": st.sampled_from(sorted(MODES)),
        "round_per": st.sampled_from(["line", "total"]),
        "prices_include_tax": st.booleans(),
    }
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(order=order, part=st.integers(0, 100))
def test_every_column_sums_to_its_total_to_the_last_minor_unit(order: dict[str, Any], part: int) -> None:
    # Given any order, and an amount off it that is some part of what it costs
    payload, included = dict(order), order["prices_include_tax"]
    before = quote(**payload).totals
    left = max(Decimal(0), (before.total if included else before.net) - 1)
    payload["discount_amount"] = str(round_to(left * part / 100, 2, "down")) if part < 100 else "0"

    # When it is priced
    reply = quote(**payload)

    # Then every column sums, every line adds up, and nothing is negative or finer than the currency
    totals, lines = reply.totals, reply.lines
    assert sum(line.list_price for line in lines) == totals.list_price
    assert sum(line.discount for line in lines) == totals.line_discounts + totals.order_discount
    assert sum(line.net for line in lines) == totals.net
    assert sum(line.tax for line in lines) == totals.tax == sum(row.tax for row in reply.taxes)
    assert sum(line.total for line in lines) == totals.total
    assert totals.net + totals.tax == totals.total
    for line in lines:
        assert line.net + line.tax == line.total
        assert line.list_price - line.discount == (line.total if included else line.net)
        assert min(line.list_price, line.discount, line.net, line.tax, line.total) >= 0
        assert str(line.total) == str(round_to(line.total, reply.digits, "half_up"))
    if reply.round_per == "total":
        for row in reply.taxes:
            exact = row.base * row.rate / (1 + row.rate) if included else row.base * row.rate
            assert row.tax == round_to(exact, reply.digits, reply.rounding)


def test_the_shipped_orders_are_recomputed_to_the_cent() -> None:
    # Given the orders of the example company, whose figures another program computed
    orders = defaultdict[str, list[dict[str, str]]](list)
    with (DATA / "orders.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            orders[row["order_id"]].append(row)
    book = catalogue(DATA)

    for rows in orders.values():
        # When an order is priced from the price book, with the exchange rates of its day
        request = PriceRequest.model_validate(
            {
                "items": [
                    {"sku": row["sku"], "quantity": row["quantity"], "discount_rate": row["discount_rate"]}
                    for row in rows
                ],
                "currency": rows[0]["currency"],
                "tax_rate": rows[0]["tax_rate"],
                "as_of": rows[0]["rate_date"],
            }
        )
        sold = {sku: product for sku, product in book.products.items() if product.sold}
        if any(row["sku"] not in sold for row in rows):
            continue
        reply = price(request, book, role="admin", today=TODAY)

        # Then every line and the total are the order's
        assert [(str(line.net), str(line.tax), str(line.total)) for line in reply.lines] == [
            (row["line_net"], row["line_tax"], row["line_total"]) for row in rows
        ]
        assert str(reply.totals.total) == rows[0]["order_total"]
