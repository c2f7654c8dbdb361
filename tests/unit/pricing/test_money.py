"""Digits, rounding and formats of currencies."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, cast

import pytest

from tasks.pricing.money import Rounding, check_locale, currency_of, digits_of, formatted, money, round_to


@pytest.mark.parametrize(("code", "digits"), [("USD", 2), ("EUR", 2), ("JPY", 0), ("KRW", 0), ("KWD", 3)])
def test_a_currency_has_its_own_digits(code: str, digits: int) -> None:
    assert digits_of(code) == digits


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("half_up", ["1234.57", "-1234.57", "0.02", "0.01"]),
        ("half_even", ["1234.56", "-1234.56", "0.02", "0.01"]),
        ("half_down", ["1234.56", "-1234.56", "0.01", "0.01"]),
        ("up", ["1234.57", "-1234.57", "0.02", "0.02"]),
        ("down", ["1234.56", "-1234.56", "0.01", "0.01"]),
        ("ceiling", ["1234.57", "-1234.56", "0.02", "0.02"]),
        ("floor", ["1234.56", "-1234.57", "0.01", "0.01"]),
    ],
)
def test_the_rounding_mode_decides_ties_and_rests(mode: Rounding, expected: list[str]) -> None:
    exact_values = ["1234.565", "-1234.565", "0.015", "0.014"]

    assert [str(round_to(Decimal(value), 2, mode)) for value in exact_values] == expected


def test_money_is_never_made_from_a_float() -> None:
    with pytest.raises(TypeError, match=r"made from a Decimal, got float 1\.1"):
        money(cast(Any, 1.1), "USD")


def test_an_amount_is_written_as_its_locale_does() -> None:
    assert formatted(money(Decimal("1234.50"), "EUR"), "de_DE") == "1.234,50\N{NO-BREAK SPACE}€"
    assert formatted(money(Decimal(1234), "JPY"), "en-US") == "¥1,234"
    assert formatted(money(Decimal("1.250"), "KWD"), "en_US") == "KWD1.250"


def test_unknown_currencies_and_locales_are_named() -> None:
    with pytest.raises(ValueError, match="ISO 4217 currency code such as 'USD', got 'ZZZ'"):
        currency_of("ZZZ")
    with pytest.raises(ValueError, match="locale such as 'en_US' or 'de_DE', got 'xx_YY'"):
        check_locale("xx_YY")
