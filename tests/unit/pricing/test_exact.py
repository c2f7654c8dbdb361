"""Numbers come in exactly or not at all."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from tasks.pricing.exact import Price, Share, exact, plain


class Payload(BaseModel):
    """A payload with a price and a rate."""

    price: Price
    rate: Share = Decimal(0)


@settings(deadline=None)
@given(st.integers(0, 10**12).map(lambda parts: Decimal(parts).scaleb(-6)))
def test_a_json_number_of_up_to_fifteen_digits_arrives_as_it_was_written(number: Decimal) -> None:
    # Given a number written in JSON, as a number and as a string
    text = plain(number)

    # When either is read
    as_number = exact(json.loads(text))
    as_string = exact(json.loads(f'"{text}"'))

    # Then both are the number that was written
    assert as_number == as_string == number


def test_pydantic_reads_json_text_exactly_too() -> None:
    payload = Payload.model_validate_json('{"price": 1234.565, "rate": 0.1}')

    assert payload.price == Decimal("1234.565")
    assert payload.rate == Decimal("0.1")
    assert payload.model_dump_json() == '{"price":"1234.565","rate":"0.1"}'


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (True, "must be a number"),
        (None, "must be a number"),
        ([1], "must be a number"),
        (float("nan"), "must be finite"),
        (float("inf"), "must be finite"),
        (Decimal("-Infinity"), "must be finite"),
        ("NaN", "must be digits"),
        ("1e3", "must be digits"),
        ("1,50", "must be digits"),
        ("", "must be digits"),
        (" 1", "must be digits"),
        ("١٢", "must be digits"),
        (0.1 + 0.2, "send it as a string"),
        (Decimal("1e-13"), "at most 18 digits before and 12 after"),
        (10**18, "at most 18 digits before and 12 after"),
    ],
)
def test_what_is_no_exact_number_is_refused_with_the_reason(value: object, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        exact(value)


def test_a_rate_given_as_percent_is_refused_with_the_remedy() -> None:
    with pytest.raises(ValidationError, match=r"fraction from 0 to 1, such as 0\.1 for 10 %, got 19"):
        Payload.model_validate({"price": 1, "rate": 19})


def test_the_schema_offers_strings_and_numbers() -> None:
    price = Payload.model_json_schema()["properties"]["price"]

    assert [option["type"] for option in price["anyOf"]] == ["string", "number"]
