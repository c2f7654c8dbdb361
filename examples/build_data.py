"""Rebuild the example company's customers, deals, orders and interactions.

    python -m examples.build_data [--into DIRECTORY] [--seed NUMBER]

Reads the hand-kept tables (`sources/`, and in `data/` products, price_tiers, exchange_rates, sales_team) and
writes four CSV files. No clock, no network, one random source: the same seed gives the same bytes. README.md
describes every column.
"""

import argparse
from collections import Counter
from datetime import timedelta
from pathlib import Path
from random import Random

from examples.company.conversations import ArcLibrary, Journal
from examples.company.customers import AS_OF, Customer, enter_customers, working_day
from examples.company.deals import Deal, DealBook
from examples.company.orders import Order, PriceList, reorder
from examples.company.tables import EXAMPLES, Row, write_table

SEED = 20260915
# Every which deal of a status has its conversation on record.
TOLD = {"open": 1, "won": 5, "lost": 3}


def build(into: Path, seed: int = SEED) -> None:
    """Write customers.csv, deals.csv, orders.csv and interactions.csv into the directory."""
    # Invented data: nothing here is secret.
    rng = Random(seed)  # nosec B311
    prices, arcs, journal = PriceList(), ArcLibrary(rng), Journal(rng)
    book = DealBook(rng, prices, arcs)
    customers = enter_customers(rng)
    deals = book.open_deals(customers)
    orders = sell(rng, prices, customers, deals)
    converse(rng, arcs, journal, book, customers=customers, deals=deals)
    into.mkdir(parents=True, exist_ok=True)
    write_table(into / "customers.csv", [customer.finished_row() for customer in customers])
    write_table(into / "deals.csv", [book.row(deal) for deal in deals])
    write_table(into / "orders.csv", orders)
    write_table(into / "interactions.csv", journal.rows())


def sell(rng: Random, prices: PriceList, customers: list[Customer], deals: list[Deal]) -> list[Row]:
    """Return the order of each won deal, and a reorder of every second customer."""
    won = [deal for deal in deals if deal.status == "won"]
    first_orders = {deal.customer.id: deal.ends for deal in won}
    orders = [Order(deal.customer, deal.ends, deal.lines, deal.id) for deal in won]
    regulars = [customer for customer in customers if customer.stage == "customer"]
    orders += [reorder(rng, prices, customer, first_orders[customer.id]) for customer in regulars[::2]]
    orders.sort(key=lambda order: (order.day, order.customer.id))
    return [row for serial, order in enumerate(orders, 5001) for row in order.rows(f"O-{serial}")]


def converse(
    rng: Random,
    arcs: ArcLibrary,
    journal: Journal,
    book: DealBook,
    *,
    customers: list[Customer],
    deals: list[Deal],
) -> None:
    """Tell the conversations of some deals, of leads without a deal, and of customers who needed help."""
    seen: Counter[str] = Counter()
    for deal in deals:
        seen[deal.status] += 1
        if seen[deal.status] % TOLD[deal.status] == 0:
            tell_deal(journal, book, deal)
    bought = {deal.customer.id: deal.ends for deal in deals if deal.status == "won"}
    asked = {deal.customer.id for deal in deals}
    for serial, customer in enumerate(customers):
        staff = book.team[customer.row["owner"]]
        if customer.stage == "lead" and customer.id not in asked:
            opened = working_day(rng, customer.created, customer.created + timedelta(20))
            arc = arcs.pick("lead", sms=customer.row["sms_consent"] == "true")
            journal.tell(arc, customer, staff, (opened, min(opened + timedelta(40), AS_OF)))
        elif customer.stage == "customer" and serial % 5 < 2:
            latest = AS_OF - timedelta(7)
            opened = min(working_day(rng, bought[customer.id] + timedelta(25), latest), latest)
            arc = arcs.pick("service")
            journal.tell(arc, customer, staff, (opened, min(opened + timedelta(50), AS_OF)))


def tell_deal(journal: Journal, book: DealBook, deal: Deal) -> None:
    """Tell a deal's conversation, of an open deal as far as its stage."""
    sku, quantity = deal.basket[0]
    products = book.prices.products
    slots = {
        "sensors": str(quantity),
        "product": products[sku]["name"],
        "plan": products[deal.customer.industry["plan"]]["name"],
        "competitor": deal.competitor,
        "percent": f"{deal.discount:.0%}",
        "amount": f"{deal.customer.row['currency']} {deal.amount:,.2f}",
    }
    journal.tell(
        deal.arc,
        deal.customer,
        book.team[deal.owner],
        (deal.opened, deal.ends),
        deal_id=deal.id,
        up_to=deal.stage if deal.status == "open" else "follow_up",
        slots=slots,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Rebuild the generated CSV files of the example company.")
    parser.add_argument("--into", type=Path, default=EXAMPLES / "data", help="directory to write to")
    parser.add_argument("--seed", type=int, default=SEED, help="another number makes another company")
    arguments = parser.parse_args()
    build(arguments.into, arguments.seed)
