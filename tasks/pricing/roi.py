"""Return on investment and payback of a purchase, by formulas that the answer states.

The definitions are the textbook ones without discounting (Brealey, Myers, Allen: *Principles of Corporate
Finance*, "payback" and "return on investment"): simple, and the same as a customer's own spreadsheet.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from tasks.pricing.exact import exactly

ROI_FORMULA: Final = (
    "roi = (benefit - cost) / cost; benefit = monthly_benefit * months; "
    "cost = net price + one_time_cost + monthly_cost * months"
)
PAYBACK_FORMULA: Final = (
    "payback_months = (net price + one_time_cost) / (monthly_benefit - monthly_cost), rounded up to 0.1"
)


@dataclass(frozen=True, slots=True)
class Return:
    """What a purchase brings over a time.

    Attributes:
        benefit: Money saved or earned over the time.
        cost: Money spent over the time.
        ratio: (benefit − cost) ÷ cost, None when it costs nothing.
        payback_months: Months until the first outlay is earned back; None when that never happens.
    """

    benefit: Decimal
    cost: Decimal
    ratio: Decimal | None
    payback_months: Decimal | None


@exactly
def return_on(
    price: Decimal, *, monthly_benefit: Decimal, months: int, one_time_cost: Decimal, monthly_cost: Decimal
) -> Return:
    """Compute the return of paying *price* (without tax) now."""
    first = price + one_time_cost
    benefit = monthly_benefit * months
    cost = first + monthly_cost * months
    gain = monthly_benefit - monthly_cost
    return Return(
        benefit=benefit,
        cost=cost,
        ratio=(benefit - cost) / cost if cost else None,
        payback_months=first / gain if gain > 0 else None,
    )
