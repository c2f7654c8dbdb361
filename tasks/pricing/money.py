"""Money: py-moneyed's type, Babel's (CLDR's) digits and formats, our rounding.

py-moneyed rounds half-even by the ambient decimal context; nothing here uses its `round`.
"""

from __future__ import annotations

from decimal import (
    ROUND_CEILING,
    ROUND_DOWN,
    ROUND_FLOOR,
    ROUND_HALF_DOWN,
    ROUND_HALF_EVEN,
    ROUND_HALF_UP,
    ROUND_UP,
    Decimal,
)
from typing import Annotated, Final, Literal

from babel import Locale, UnknownLocaleError
from babel.numbers import format_currency, get_currency_precision
from moneyed import Currency, CurrencyDoesNotExist, Money, get_currency
from pydantic import AfterValidator

from tasks.pricing.exact import exactly

Rounding = Literal["half_up", "half_even", "half_down", "up", "down", "ceiling", "floor"]
"""How a tie or a rest is rounded; ``half_up`` and ``up`` go away from zero."""

MODES: Final[dict[Rounding, str]] = {
    "half_up": ROUND_HALF_UP,
    "half_even": ROUND_HALF_EVEN,
    "half_down": ROUND_HALF_DOWN,
    "up": ROUND_UP,
    "down": ROUND_DOWN,
    "ceiling": ROUND_CEILING,
    "floor": ROUND_FLOOR,
}


def currency_of(code: str) -> Currency:
    """Return the currency of an ISO 4217 *code* in either case.

    Raises:
        ValueError: There is no such currency.
    """
    try:
        return get_currency(code.upper())
    except CurrencyDoesNotExist:
        raise ValueError(f"must be an ISO 4217 currency code such as 'USD', got {code!r}") from None


def money(amount: Decimal, code: str) -> Money:
    """Return *amount* of the currency *code*, unrounded.

    Raises:
        TypeError: *amount* is not a Decimal. Money is never made from a float.
    """
    if not isinstance(amount, Decimal):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"money is made from a Decimal, got {type(amount).__name__} {amount!r}")
    return Money(amount, currency_of(code))


def digits_of(code: str) -> int:
    """Return how many decimal digits amounts in *code* have: USD 2, JPY 0, KWD 3."""
    return get_currency_precision(code)


@exactly
def round_to(amount: Decimal, digits: int, mode: Rounding) -> Decimal:
    """Round *amount* to *digits* decimals."""
    return amount.quantize(Decimal(1).scaleb(-digits), rounding=MODES[mode])


def formatted(amount: Money, locale: str) -> str:
    """Write *amount* as people of *locale* do, with the currency's own digits.

    Raises:
        ValueError: Babel does not know *locale*.
    """
    return format_currency(amount.amount, amount.currency.code, locale=check_locale(locale))


def check_locale(locale: str) -> str:
    """Return *locale* in Babel's spelling.

    Raises:
        ValueError: Babel does not know *locale*.
    """
    try:
        return str(Locale.parse(locale.replace("-", "_")))
    except (UnknownLocaleError, ValueError):
        raise ValueError(f"must be a locale such as 'en_US' or 'de_DE', got {locale!r}") from None


CurrencyCode = Annotated[str, AfterValidator(lambda code: currency_of(code).code)]
"""An ISO 4217 code in a payload; lower case is accepted."""

LocaleName = Annotated[str, AfterValidator(check_locale)]
"""A locale's name in a payload."""
