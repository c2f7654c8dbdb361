"""Deals: who bought what, who did not and why, and who granted the discount."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from random import Random

from examples.company.conversations import Arc, ArcLibrary
from examples.company.customers import AS_OF, Customer, working_day
from examples.company.orders import Basket, PriceList
from examples.company.tables import EXAMPLES, Row, read_table

LAST_DAY = date(2026, 10, 28)
OPEN_STAGES = ("prospecting", "qualification", "discovery", "presentation", "negotiation", "closing")
DISCOUNTS = ("0.03", "0.05", "0.05", "0.08", "0.10", "0.10", "0.12", "0.15", "0.18", "0.20")
WON_BECAUSE = ("product fit", "alarm chain", "trial result", "total cost", "service", "validation documents")


@dataclass
class Deal:
    """A deal under construction; `arc` is the conversation that goes with it."""

    customer: Customer
    owner: str
    status: str
    stage: str
    opened: date
    ends: date
    arc: Arc
    competitor: str
    discount: Decimal
    basket: Basket
    lines: list[Row]
    id: str = ""

    @property
    def amount(self) -> Decimal:
        return sum((Decimal(line["line_net"]) for line in self.lines), Decimal("0.00"))


class DealBook:
    """Draws deals for customers from one random source and turns them into rows."""

    def __init__(self, rng: Random, prices: PriceList, arcs: ArcLibrary) -> None:
        self._rng, self.prices, self._arcs = rng, prices, arcs
        self.team = {row["id"]: row for row in read_table(EXAMPLES / "data" / "sales_team.csv")}

    def open_deals(self, customers: list[Customer]) -> list[Deal]:
        """Return the deals of all customers by opening day, numbered."""
        seen: Counter[str] = Counter()
        deals: list[Deal] = []
        for customer in customers:
            seen[customer.stage] += 1
            deals += self._deals_of(customer, seen[customer.stage])
        deals.sort(key=lambda deal: (deal.opened, deal.customer.id))
        for serial, deal in enumerate(deals, 2001):
            deal.id = f"D-{serial}"
        return deals

    def _deals_of(self, customer: Customer, serial: int) -> Iterator[Deal]:
        stage, created = customer.stage, customer.created
        if stage in ("customer", "churned"):
            opened = self._day(created + timedelta(3), created + timedelta(30))
            ends = self._day(opened + timedelta(20), opened + timedelta(100))
            yield self._deal(customer, "won", opened, ends)
        if stage == "opportunity" or (stage == "customer" and serial % 4 == 0):
            opened = self._day(max(created + timedelta(2), date(2026, 6, 1)), date(2026, 8, 31))
            yield self._deal(customer, "open", opened, AS_OF)
        lost = {"churned": True, "customer": serial % 3 == 1, "lead": serial % 2 == 1}
        if lost.get(stage):
            first = created + timedelta(2) if stage == "lead" else date(2026, 4, 20)
            opened = self._day(max(first, created), date(2026, 8, 3))
            ends = min(self._day(opened + timedelta(15), opened + timedelta(80)), AS_OF)
            yield self._deal(customer, "lost", opened, ends)

    def _deal(self, customer: Customer, status: str, opened: date, ends: date) -> Deal:
        kind = "transit" if customer.industry["tracker"] and self._rng.randint(0, 1) else "fixed"
        stage = self._rng.choice(OPEN_STAGES) if status == "open" else f"closed_{status}"
        met_before = status != "won" and customer.stage in ("customer", "churned")
        arc = self._arcs.pick("lost" if status == "lost" else "won", kind, met_before=met_before)
        competitor = self._rng.choice(arc.rivals)
        if "competitor" not in arc.needs and self._rng.randint(0, 9) > 2:
            competitor = ""
        haggles = "discount" in arc.needs or self._rng.randint(0, 3) == 0
        negotiated = haggles and stage in ("negotiation", "closing", "closed_won")
        discount = Decimal(self._rng.choice(DISCOUNTS) if negotiated else "0.00")
        owner = customer.row["owner"]
        if self.team[owner]["role"] == "sales_development_rep":
            owner = self._rng.choice(customer.place["owners"].split())
        basket = self._basket(customer, kind)
        lines = self.prices.lines(customer, basket, discount, ends)
        customer.happened(opened if status == "open" else ends)
        return Deal(customer, owner, status, stage, opened, ends, arc, competitor, discount, basket, lines)

    def _basket(self, customer: Customer, kind: str) -> Basket:
        employees, industry = int(customer.row["employees"]), customer.industry
        if kind == "transit":
            trackers = min(max(employees * self._rng.randint(30, 90) // 1000 * 10, 40), 2400)
            return [(industry["tracker"], trackers), ("NV-C630", trackers), ("NV-P700", 1)]
        sensors = min(max(employees * self._rng.randint(4, 14) // 100, 4), 320)
        extra = self._rng.choice(industry["extras"].split())
        family = self.prices.products[extra]["family"]
        per_sensor = {"accessory": 2, "sensor": 8}.get(family, 1 if extra == "NV-P740" else sensors)
        lines = [
            (industry["sensor"], sensors),
            (industry["gateway"], -(-sensors // 25)),
            (industry["plan"], sensors),
            (extra, -(-sensors // per_sensor)),
        ]
        return [*lines, ("NV-P700", 1)] if self._rng.randint(0, 2) else lines

    def row(self, deal: Deal) -> Row:
        """Return the line of deals.csv; a discount is approved by the first in the chain who may grant it."""
        approver = deal.owner
        while Decimal(self.team[approver]["max_discount_rate"]) < deal.discount:
            approver = self.team[approver]["manager"]
        is_open = deal.status == "open"
        won_because = self._rng.choice(WON_BECAUSE)
        expected = self._day(AS_OF + timedelta(1), LAST_DAY) if is_open else deal.ends
        sku, quantity = deal.basket[0]
        return {
            "id": deal.id,
            "customer_id": deal.customer.id,
            "name": f"{quantity} x {self.prices.products[sku]['name']}",
            "owner": deal.owner,
            "stage": deal.stage,
            "status": deal.status,
            "amount": str(deal.amount),
            "currency": deal.customer.row["currency"],
            "discount_rate": str(deal.discount),
            "discount_approved_by": approver if deal.discount else "",
            "competitor": deal.competitor,
            "close_reason": {"won": won_because, "lost": deal.arc.reason, "open": ""}[deal.status],
            "opened_at": deal.opened.isoformat(),
            "expected_close": expected.isoformat(),
            "closed_at": "" if is_open else deal.ends.isoformat(),
            "version": str(OPEN_STAGES.index(deal.stage) + 1 if is_open else len(OPEN_STAGES) + 1),
        }

    def _day(self, first: date, last: date) -> date:
        return working_day(self._rng, first, last)
