"""The calls that the agents of a sales team make on one day, drawn from the shipped data."""

from __future__ import annotations

import csv
import random
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from salesboost import CallSpec

DATA = Path(__file__).parent / "data"

QUESTIONS = (
    "How do I answer a customer who says we are too expensive?",
    "discount authority of an account executive",
    "Which sensor works at minus eighty degrees?",
    "difference between Coldspire and our transit loggers",
    "How long is the warranty on hubs?",
    "When may we send an SMS to a prospect?",
    "What does the cloud plan include?",
    "questions for the first discovery call",
    "Who signs a discount above fifteen percent?",
    "How is payback calculated?",
    "battery life of the humidity tag",
    "What do we say about Glacient?",
    "shipping times and import duties",
    "objection: we already use clipboards",
    "data protection for pharmacies in Germany",
    "how to close after a pilot",
    "renewal conversation three months before the end",
    "volume prices for 100 sensors",
    "calibration certificate",
    "What must a follow-up e-mail contain?",
)


def read(name: str) -> list[dict[str, str]]:
    """Return the rows of one of the shipped tables."""
    with (DATA / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def morning(count: int, rng: random.Random) -> list[CallSpec]:
    """Return *count* calls: quotes, look-ups and changes in the CRM, and questions to the playbook."""
    sources = [_quotes(rng), _records(rng), _questions(rng)]
    return [next(rng.choices(sources, weights=(4, 3, 3))[0]) for _ in range(count)]


def afternoon(count: int, before: list[CallSpec], rng: random.Random) -> list[CallSpec]:
    """Return *count* calls, two in five of which ask again what was asked in the morning."""
    reads = [spec for spec in before if spec.get("name") != "crm_integration"]
    fresh = morning(count, rng)
    return [rng.choice(reads) if rng.random() < 0.4 else spec for spec in fresh]


def _quotes(rng: random.Random) -> Iterator[CallSpec]:
    orders: dict[str, list[dict[str, str]]] = defaultdict(list)
    for line in read("orders.csv"):
        orders[line["order_id"]].append(line)
    while True:
        lines = orders[rng.choice(sorted(orders))]
        yield {
            "name": "price_calculator",
            "payload": {
                "items": [{"sku": line["sku"], "quantity": line["quantity"]} for line in lines],
                "currency": lines[0]["currency"],
                "discount_rate": rng.choice(("0", "0.05", "0.10")),
                "tax_rate": lines[0]["tax_rate"],
            },
        }


def _records(rng: random.Random) -> Iterator[CallSpec]:
    customers = read("customers.csv")
    while True:
        customer = rng.choice(customers)
        payload = rng.choice(
            (
                {"action": "read", "customer_id": customer["id"]},
                {"action": "read", "customer_id": customer["id"]},
                {"action": "search", "query": customer["industry"], "limit": 5},
                {"action": "search", "query": customer["company"]},
                {"action": "list", "limit": 10},
            )
        )
        yield {"name": "crm_integration", "payload": payload}


def _questions(rng: random.Random) -> Iterator[CallSpec]:
    while True:
        yield {
            "name": "knowledge_retriever",
            "payload": {"query": rng.choice(QUESTIONS), "top_k": rng.choice((1, 3, 5))},
        }
