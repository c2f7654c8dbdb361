"""Order lines: list price in the customer's currency, less volume tier and granted discount, plus tax."""

from collections.abc import Sequence
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from random import Random

from examples.company.customers import AS_OF, Customer, working_day
from examples.company.tables import EXAMPLES, Row, read_table

Basket = list[tuple[str, int]]
NO_DISCOUNT = Decimal("0.00")


class PriceList:
    """The catalogue, its volume tiers and the monthly exchange rates."""

    def __init__(self) -> None:
        data = EXAMPLES / "data"
        self.products = {row["sku"]: row for row in read_table(data / "products.csv")}
        self._tiers = read_table(data / "price_tiers.csv")
        rates = read_table(data / "exchange_rates.csv")
        self._rates = {(row["date"], row["currency"]): Decimal(row["rate"]) for row in rates}

    def tier_discount(self, tier: str, quantity: int) -> Decimal:
        rates = [
            Decimal(row["discount_rate"])
            for row in self._tiers
            if row["tier"] == tier and int(row["min_quantity"]) <= quantity
        ]
        return max(rates, default=NO_DISCOUNT)

    def lines(self, customer: Customer, basket: Basket, discount: Decimal, day: date) -> list[Row]:
        """Return one row per item; services and kits keep their price whatever the discount."""
        currency, month = customer.row["currency"], day.replace(day=1).isoformat()
        tax_rate = Decimal(customer.place["tax_rate"])
        rows = []
        for number, (sku, quantity) in enumerate(basket, 1):
            product = self.products[sku]
            tier = self.tier_discount(product["tier"], quantity)
            granted = discount if product["discountable"] == "true" else NO_DISCOUNT
            unit = cents(Decimal(product["unit_price"]) * self._rates[month, currency])
            net = cents(quantity * unit * (1 - tier) * (1 - granted))
            tax = cents(net * tax_rate)
            row = {
                "line": number,
                "sku": sku,
                "quantity": quantity,
                "currency": currency,
                "rate_date": month,
                "unit_price": unit,
                "tier_discount_rate": tier,
                "discount_rate": granted,
                "line_net": net,
                "tax_rate": tax_rate,
                "line_tax": tax,
                "line_total": net + tax,
            }
            rows.append({key: str(value) for key, value in row.items()})
        return rows


def cents(value: Decimal) -> Decimal:
    """Round half-up to two digits, which all currencies of the company's customers have."""
    return value.quantize(Decimal("0.01"), ROUND_HALF_UP)


class Order:
    """Lines bought on one day, from a won deal or as a reorder without one."""

    def __init__(self, customer: Customer, day: date, lines: Sequence[Row], deal_id: str = "") -> None:
        self.customer, self.day, self.lines, self.deal_id = customer, day, lines, deal_id

    def rows(self, order_id: str) -> list[Row]:
        total = sum(Decimal(line["line_total"]) for line in self.lines)
        head = {
            "order_id": order_id,
            "customer_id": self.customer.id,
            "deal_id": self.deal_id,
            "ordered_on": self.day.isoformat(),
            "status": "delivered" if AS_OF - self.day > timedelta(21) else "processing",
        }
        return [head | line | {"order_total": str(total)} for line in self.lines]


def reorder(rng: Random, prices: PriceList, customer: Customer, first_order: date) -> Order:
    """Return what a satisfied customer buys some time after the first order, without negotiating."""
    day = min(working_day(rng, first_order + timedelta(30), AS_OF), AS_OF)
    sensors = rng.randint(2, 12)
    basket = [
        ("NV-A510", rng.randint(10, 60)),
        ("NV-A500", sensors),
        (customer.industry["sensor"], sensors),
    ]
    if customer.industry["tracker"]:
        basket.append((customer.industry["tracker"], rng.randint(8, 60) * 10))
    customer.happened(day)
    return Order(customer, day, prices.lines(customer, basket, NO_DISCOUNT, day))
