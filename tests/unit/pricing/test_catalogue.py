"""The price book on disk."""

from __future__ import annotations

import os
from decimal import Decimal
from pathlib import Path

import pytest

from salesboost.faults import InputFault, ToolFault
from tasks.locations import REPOSITORY
from tasks.pricing.catalogue import catalogue

PRODUCTS = """\
sku,name,unit_price,currency,tax_class,tier,discountable,status
A-1,Apple,2.50,USD,food,FRUIT,true,active
A-0,Old apple,1.00,USD,food,,true,retired
"""
TIERS = """\
tier,min_quantity,max_quantity,discount_rate
FRUIT,1,9,0.00
FRUIT,10,,0.10
"""


def write(directory: Path, **files: str) -> Path:
    for name, text in files.items():
        (directory / f"{name}.csv").write_text(text, encoding="utf-8")
    return directory


def test_the_shipped_price_book_loads() -> None:
    book = catalogue(REPOSITORY / "examples" / "data")

    assert len(book.products) > 20
    assert any(product.steps for product in book.products.values())


def test_products_come_with_their_tiers(tmp_path: Path) -> None:
    book = catalogue(write(tmp_path, products=PRODUCTS, price_tiers=TIERS))

    apple = book.product("A-1", "items[0]")
    assert apple.price.amount == Decimal("2.50")
    assert [(step.min_quantity, step.rate) for step in apple.steps] == [(1, 0), (10, Decimal("0.10"))]


def test_a_changed_file_is_read_again_and_an_unchanged_one_is_not(tmp_path: Path) -> None:
    # Given a loaded price book
    first = catalogue(write(tmp_path, products=PRODUCTS, price_tiers=TIERS))
    assert catalogue(tmp_path) is first

    # When the file is written anew
    write(tmp_path, products=PRODUCTS.replace("2.50", "3.50"))
    later = (tmp_path / "products.csv").stat().st_mtime_ns + 1_000_000
    os.utime(tmp_path / "products.csv", ns=(later, later))

    # Then the next look sees the new price
    assert catalogue(tmp_path).product("A-1", "items[0]").price.amount == Decimal("3.50")


def test_a_missing_directory_is_an_empty_price_book(tmp_path: Path) -> None:
    assert catalogue(tmp_path / "nowhere").products == {}


def test_caps_in_a_file_replace_the_built_in_ones_role_by_role(tmp_path: Path) -> None:
    book = catalogue(write(tmp_path, discount_caps="role,max_discount_rate\nsdr,0.05\n"))

    assert book.caps["sdr"] == Decimal("0.05")
    assert book.caps["admin"] == 1


def test_unknown_and_retired_products_are_refused(tmp_path: Path) -> None:
    book = catalogue(write(tmp_path, products=PRODUCTS, price_tiers=TIERS))

    with pytest.raises(InputFault, match=r"items\[3\]\.sku: 'a-2' is not in the price book; did you mean A-"):
        book.product("a-2", "items[3]")
    with pytest.raises(InputFault, match=r"A-0 .* is retired"):
        book.product("A-0", "items[0]")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"products": PRODUCTS.replace("2.50", "cheap")}, r"products\.csv line 2 unit_price .*'cheap'"),
        ({"products": PRODUCTS.replace("2.50,USD", "2.50,ZZZ")}, r"line 2 currency .*'ZZZ'"),
        ({"products": PRODUCTS.replace("FRUIT", "VEG")}, r"line 2 names tier 'VEG'"),
        ({"products": PRODUCTS.replace("true,active", "yes,active")}, r"discountable .* true or false"),
        ({"products": "sku,name\nA,B\n"}, r"line 2 has no column 'tier'"),
        ({"price_tiers": TIERS.replace("1,9", "1,8")}, r"price_tiers\.csv line 2 must end one below"),
        ({"price_tiers": TIERS.replace("10,,", "10,99,")}, r"line 3 is the last of tier 'FRUIT'"),
        ({"price_tiers": TIERS.replace("0.10", "10")}, r"discount_rate .* from 0 to 1, got 10"),
        ({"exchange_rates": "date,base,currency,rate\n2026-13-01,USD,EUR,1\n"}, r"line 2 date is wrong"),
        ({"exchange_rates": "date,base,currency,rate\n2026-01-01,USD,EUR,0\n"}, r"line 2 rate .* got 0"),
    ],
)
def test_a_file_that_cannot_be_understood_is_named_with_line_and_value(
    tmp_path: Path, files: dict[str, str], message: str
) -> None:
    write(tmp_path, **({"products": PRODUCTS, "price_tiers": TIERS} | files))

    with pytest.raises(ToolFault, match=message):
        catalogue(tmp_path)
