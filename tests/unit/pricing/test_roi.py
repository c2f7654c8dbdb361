"""Return on investment and payback, against hand computation."""

from __future__ import annotations

from decimal import Decimal

from tasks.pricing.roi import return_on


def test_the_formulas_hold_on_a_worked_example() -> None:
    # Given 9,000 now with 1,000 of roll-out, 500 a month to run and 1,500 a month of benefit, for two years
    found = return_on(
        Decimal(9000),
        monthly_benefit=Decimal(1500),
        months=24,
        one_time_cost=Decimal(1000),
        monthly_cost=Decimal(500),
    )

    # Then 36,000 come from 22,000, and 10,000 are back after ten months of 1,000
    assert found.benefit == 36000
    assert found.cost == 22000
    assert found.payback_months == 10
    assert found.ratio is not None
    assert round(found.ratio, 6) == Decimal("0.636364")


def test_what_never_pays_back_says_so() -> None:
    found = return_on(
        Decimal(100),
        monthly_benefit=Decimal(5),
        months=12,
        one_time_cost=Decimal(0),
        monthly_cost=Decimal(5),
    )

    assert found.payback_months is None
    assert found.ratio == Decimal(-100) / 160


def test_what_costs_nothing_has_no_ratio() -> None:
    found = return_on(
        Decimal(0), monthly_benefit=Decimal(5), months=1, one_time_cost=Decimal(0), monthly_cost=Decimal(0)
    )

    assert found.ratio is None
    assert found.payback_months == 0
