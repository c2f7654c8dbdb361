"""Reads the price book from CSV files and reads it again when one of them changes.

| file | columns |
|---|---|
| products.csv | sku, name, unit_price, currency, tax_class, tier, discountable, status (not ``retired``) |
| price_tiers.csv | tier, min_quantity, max_quantity (empty in the last), discount_rate |
| exchange_rates.csv | date, base, currency, rate (1 base is so many of currency) |
| discount_caps.csv | role, max_discount_rate; optional, replaces `discounts.CAPS` role by role |

A missing file is an empty one, so that items with their own prices need no price book. Further columns are
ignored.
"""

from __future__ import annotations

import csv
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from decimal import Decimal
from itertools import groupby, pairwise
from pathlib import Path
from typing import Final, NoReturn, TypeVar

from salesboost.faults import ToolFault
from tasks.pricing.book import PriceBook, Product, TierStep
from tasks.pricing.conversion import RateTable
from tasks.pricing.discounts import CAPS
from tasks.pricing.exact import exact
from tasks.pricing.money import currency_of, money

_T = TypeVar("_T")
_Stamp = tuple[tuple[int, int] | None, ...]

FILES: Final = ("products.csv", "price_tiers.csv", "exchange_rates.csv", "discount_caps.csv")

_lock: Final = threading.Lock()
_loaded: Final[dict[Path, tuple[_Stamp, PriceBook]]] = {}


def catalogue(directory: Path) -> PriceBook:
    """Return the price book in *directory*, loaded again when a file's time or size has changed.

    Raises:
        ToolFault: A file cannot be understood; the message names file, line, column and value.
    """
    stamp = tuple(_stamp(directory / name) for name in FILES)
    with _lock:
        known = _loaded.get(directory)
        if known is None or known[0] != stamp:
            known = _loaded[directory] = stamp, _load(directory)
        return known[1]


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_mtime_ns, status.st_size


def _load(directory: Path) -> PriceBook:
    products, tiers, rates, caps = (directory / name for name in FILES)
    steps = _steps(tiers)
    return PriceBook(
        products={product.sku: product for product in _products(products, steps)},
        rates=RateTable.of(_rates(rates)),
        caps=dict(CAPS) | {row["role"]: row.read("max_discount_rate", _share) for row in _rows(caps)},
    )


class _Row:
    """One line of a CSV file that names itself in faults."""

    def __init__(self, where: str, values: Mapping[str, str | None]) -> None:
        self._where = where
        self._values = values

    def __getitem__(self, column: str) -> str:
        value = self._values.get(column)
        if value is None:
            self.refuse(f"has no column {column!r}")
        return value.strip()

    def read(self, column: str, parse: Callable[[str], _T]) -> _T:
        """Parse one value."""
        value = self[column]
        try:
            return parse(value)
        except ValueError as exc:
            self.refuse(f"{column} is wrong: {exc}", exc)

    def refuse(self, why: str, cause: Exception | None = None) -> NoReturn:
        """Raise the fault of this row."""
        raise ToolFault(f"price book: {self._where} {why}") from cause


def _rows(path: Path) -> Iterator[_Row]:
    if not path.exists():
        return
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        for values in reader:
            yield _Row(f"{path.name} line {reader.line_num}", values)


def _products(path: Path, steps: Mapping[str, tuple[TierStep, ...]]) -> Iterator[Product]:
    for row in _rows(path):
        tier = row["tier"]
        if tier and tier not in steps:
            row.refuse(f"names tier {tier!r}, which price_tiers.csv does not have")
        code = row.read("currency", lambda text: currency_of(text).code)
        yield Product(
            sku=row["sku"],
            name=row["name"],
            price=money(row.read("unit_price", _price), code),
            tax_class=row["tax_class"],
            steps=steps.get(tier, ()),
            discountable=row.read("discountable", _truth),
            sold=row["status"] != "retired",
        )


def _steps(path: Path) -> dict[str, tuple[TierStep, ...]]:
    schedules: dict[str, tuple[TierStep, ...]] = {}
    for name, group in groupby(_rows(path), key=lambda row: row["tier"]):
        rows = list(group)
        if name in schedules:
            rows[0].refuse(f"continues tier {name!r} after another one: keep a tier's rows together")
        for row, following in pairwise(rows):
            if row.read("max_quantity", int) + 1 != following.read("min_quantity", int):
                row.refuse("must end one below the min_quantity of the next row")
        if rows[-1]["max_quantity"]:
            rows[-1].refuse(f"is the last of tier {name!r}: max_quantity must be empty")
        schedules[name] = tuple(
            TierStep(row.read("min_quantity", int), row.read("discount_rate", _share)) for row in rows
        )
    return schedules


def _rates(path: Path) -> Iterator[tuple[date, str, str, Decimal]]:
    for row in _rows(path):
        source = row.read("base", lambda text: currency_of(text).code)
        target = row.read("currency", lambda text: currency_of(text).code)
        if source != target:
            yield row.read("date", date.fromisoformat), source, target, row.read("rate", _rate)


def _price(text: str) -> Decimal:
    return _between(text, Decimal(0), Decimal("1e12"))


def _share(text: str) -> Decimal:
    return _between(text, Decimal(0), Decimal(1))


def _rate(text: str) -> Decimal:
    return _between(text, Decimal("1e-9"), Decimal("1e9"))


def _between(text: str, low: Decimal, high: Decimal) -> Decimal:
    number = exact(text)
    if not low <= number <= high:
        raise ValueError(f"must be from {low} to {high}, got {text}")
    return number


def _truth(text: str) -> bool:
    if text not in {"true", "false"}:
        raise ValueError(f"must be true or false, got {text!r}")
    return text == "true"
