"""Numbers of a payload as exact decimals, never as binary floats.

A JSON number with a fraction reaches Python as a `float`, whose shortest text is the number that was sent as
long as it has at most 15 significant digits (IEEE 754 double precision). Such numbers are read from that
text; longer ones cannot be known exactly and are refused with the remedy.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Context, Decimal, DivisionByZero, InvalidOperation, Overflow, localcontext
from functools import wraps
from typing import Annotated, Any, Final, ParamSpec, TypeVar

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

DOUBLE_DIGITS: Final = 15
"""Significant decimal digits that every double carries exactly (IEEE 754, `sys.float_info.dig`)."""

EXACT: Final = Context(prec=120, traps=[DivisionByZero, InvalidOperation, Overflow])
"""Arithmetic of this package. Sums and products of numbers that `exact` lets in need fewer than 120 digits,
so they are exact; a quotient is nearer to its true value than any tie of a rounding can be."""

_P = ParamSpec("_P")
_R = TypeVar("_R")

_NUMBER: Final = re.compile(r"[+-]?\d{1,18}(?:\.\d{1,12})?", re.ASCII)


def exactly(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Run the decorated function under `EXACT`, whatever decimal context its caller has."""

    @wraps(function)
    def run(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        with localcontext(EXACT):
            return function(*args, **kwargs)

    return run


def exact(value: object) -> Decimal:
    """Return the decimal number that *value* states.

    Raises:
        ValueError: *value* is no number, not finite, or more precise than a JSON number can be.
    """
    if isinstance(value, bool) or not isinstance(value, (Decimal, int, float, str)):
        # pydantic makes a ValueError an error of the field and lets a TypeError through.
        raise ValueError(f"must be a number or a decimal string such as '12.50', got {value!r}")  # noqa: TRY004
    if isinstance(value, str):
        if not _NUMBER.fullmatch(value):
            raise ValueError(
                "must be digits with a decimal point, at most 18 before and 12 after it, such as '12.50', "
                f"got {value[:40]!r}"
            )
        return Decimal(value)
    number = Decimal(str(value))
    if not number.is_finite():
        raise ValueError(f"must be finite, got {value}")
    if isinstance(value, float) and len(number.normalize().as_tuple().digits) > DOUBLE_DIGITS:
        raise ValueError(
            f"has more than {DOUBLE_DIGITS} digits, more than a JSON number carries exactly: "
            f"send it as a string such as '12.50', got {value}"
        )
    if not _NUMBER.fullmatch(plain(number)):
        raise ValueError(f"must have at most 18 digits before and 12 after the point, got {value}")
    return number


def plain(number: Decimal) -> str:
    """Write *number* without an exponent."""
    return format(number, "f")


def _bounded(low: str, high: str, hint: str) -> Any:
    def check(value: object) -> Decimal:
        number = exact(value)
        if not Decimal(low) <= number <= Decimal(high):
            raise ValueError(f"must be {hint}, got {plain(number)}")
        return number

    return BeforeValidator(check)


_SCHEMA: Final[dict[str, Any]] = {
    "anyOf": [{"type": "string", "pattern": r"^[+-]?\d{1,18}(\.\d{1,12})?$"}, {"type": "number"}]
}
_TEXT: Final = PlainSerializer(plain, return_type=str)

Exact = Annotated[Decimal, BeforeValidator(exact), _TEXT, WithJsonSchema(_SCHEMA)]
"""Any exact number; written as a decimal string."""

Price = Annotated[Decimal, _bounded("0", "1e12", "from 0 to 1000000000000"), _TEXT, WithJsonSchema(_SCHEMA)]
"""An amount of money that is not negative."""

Quantity = Annotated[
    Decimal,
    _bounded("0.000001", "1e9", "above 0 and at most 1000000000 (the smallest is 0.000001)"),
    _TEXT,
    WithJsonSchema(_SCHEMA),
]
"""How many; fractions are allowed."""

Share = Annotated[
    Decimal,
    _bounded("0", "1", "a fraction from 0 to 1, such as 0.1 for 10 %"),
    _TEXT,
    WithJsonSchema(_SCHEMA),
]
"""A rate as a fraction: 0.1 is 10 %."""
