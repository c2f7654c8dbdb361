"""Dated exchange rates."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from salesboost.faults import InputFault
from tasks.pricing.conversion import RateTable

MAY, JUNE = date(2026, 5, 1), date(2026, 6, 1)
TABLE = RateTable.of(
    [
        (JUNE, "USD", "EUR", Decimal("0.90")),
        (MAY, "USD", "EUR", Decimal("0.80")),
        (MAY, "USD", "JPY", Decimal(150)),
    ]
)


@pytest.mark.parametrize(
    ("day", "expected"),
    [(MAY, "80.00"), (date(2026, 5, 31), "80.00"), (JUNE, "90.00"), (date(2027, 1, 1), "90.00")],
)
def test_the_newest_rate_on_or_before_the_day_counts(day: date, expected: str) -> None:
    assert TABLE.conversion("USD", "EUR", day)(Decimal(100)) == Decimal(expected)


def test_a_pair_is_read_backwards_without_losing_a_digit() -> None:
    back = TABLE.conversion("EUR", "USD", JUNE)

    assert back(Decimal(90)) == 100
    assert back.on == JUNE


def test_two_currencies_meet_in_a_third_and_the_older_rate_dates_the_chain() -> None:
    chain = TABLE.conversion("EUR", "JPY", JUNE)

    assert chain(Decimal(9)) == 1500
    assert chain.path == ("EUR", "USD", "JPY")
    assert chain.on == MAY


def test_a_later_row_of_the_same_day_replaces_the_earlier_one() -> None:
    table = RateTable.of([(MAY, "USD", "EUR", Decimal(1)), (MAY, "USD", "EUR", Decimal(2))])

    assert table.conversion("USD", "EUR", MAY)(Decimal(1)) == 2


def test_a_missing_rate_is_refused_with_what_there_is() -> None:
    with pytest.raises(InputFault, match=r"no exchange rate from USD to EUR on or before 2026-04-30.*EUR, JPY, USD"):
        TABLE.conversion("USD", "EUR", date(2026, 4, 30))
    with pytest.raises(InputFault, match="the rate table holds no rates"):
        RateTable().conversion("USD", "EUR", JUNE)
