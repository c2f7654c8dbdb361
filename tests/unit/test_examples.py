"""The shipped company is consistent: its references hold, its sums add up, its documents quote its prices."""

import csv
import re
from collections import defaultdict
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from functools import cache
from pathlib import Path

import pytest
from pypdf import PdfReader

from examples.build_data import build as build_data

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
DOCUMENTS = EXAMPLES / "documents"
MARKDOWN = sorted(DOCUMENTS.rglob("*.md"))
PDFS = sorted(DOCUMENTS.rglob("*.pdf"))
FIRST_DAY, LAST_DAY = date(2025, 6, 1), date(2026, 10, 31)
CENT = Decimal("0.01")

Row = dict[str, str]

KEYS = {
    "customers": ("id",),
    "products": ("sku",),
    "price_tiers": ("tier", "min_quantity"),
    "exchange_rates": ("date", "currency"),
    "sales_team": ("id",),
    "deals": ("id",),
    "orders": ("order_id", "line"),
    "interactions": ("id",),
}
REFERENCES = [
    ("customers", "owner", "sales_team", "id"),
    ("products", "tier", "price_tiers", "tier"),
    ("sales_team", "manager", "sales_team", "id"),
    ("deals", "customer_id", "customers", "id"),
    ("deals", "owner", "sales_team", "id"),
    ("deals", "discount_approved_by", "sales_team", "id"),
    ("orders", "customer_id", "customers", "id"),
    ("orders", "deal_id", "deals", "id"),
    ("orders", "sku", "products", "sku"),
    ("orders", "rate_date", "exchange_rates", "date"),
    ("interactions", "customer_id", "customers", "id"),
    ("interactions", "deal_id", "deals", "id"),
    ("interactions", "staff", "sales_team", "id"),
]
# Ranges that the regulators keep free for films and books: NANP, Ofcom, Bundesnetzagentur, PTS, ARCEP, ACMA.
FICTIONAL_NUMBER = re.compile(
    r"\+1[2-9]\d{2}55501\d{2}"
    r"|\+44(2079460|1614960|1314960)\d{3}"
    r"|\+4917139200\d{2}"
    r"|\+46701740(60[5-9]|6[1-9]\d)"
    r"|\+33(19900|46571)\d{4}"
    r"|\+6149157(0006|0110|0156|0157|0158|0159|0313|0737|1266|1491)"
)
EMAIL = re.compile(r"[\w.+-]+@([\w-]+(?:\.[\w-]+)*\.[A-Za-z]{2,})")
RESERVED_DOMAIN = re.compile(r"([\w-]+\.)*example\.(com|org|net)")
SKU = re.compile(r"NV-[A-Z]\d{3}")
# A price in the same table row as its product, or right behind it.
QUOTED_PRICE = re.compile(r"(NV-[A-Z]\d{3})\)?(?:,| at| costs|(?: \| [\w ]+)? \|)? USD ([\d,]+\.\d\d)")


@cache
def table(name: str) -> tuple[Row, ...]:
    with (EXAMPLES / "data" / f"{name}.csv").open(newline="", encoding="utf-8") as file:
        return tuple(csv.DictReader(file))


def by_key(name: str, key: str = "id") -> dict[str, Row]:
    return {row[key]: row for row in table(name)}


def grouped(rows: tuple[Row, ...], key: str) -> dict[str, list[Row]]:
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row[key]].append(row)
    return groups


def cents(value: Decimal) -> Decimal:
    return value.quantize(CENT, ROUND_HALF_UP)


@cache
def text_of(path: Path) -> str:
    if path.suffix == ".pdf":
        return "\n".join(page.extract_text() for page in PdfReader(path).pages)
    text = path.read_text("utf-8")
    return re.sub(r"<[^>]+>", " | ", text).replace(" |  | ", " | ") if path.suffix == ".html" else text


def documents() -> list[Path]:
    return sorted(path for path in DOCUMENTS.rglob("*") if path.is_file())


@pytest.mark.parametrize(("name", "key"), KEYS.items())
def test_each_row_has_a_key_of_its_own(name: str, key: tuple[str, ...]) -> None:
    keys = [tuple(row[column] for column in key) for row in table(name)]

    assert keys
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize(("source", "column", "target", "key"), REFERENCES)
def test_a_reference_points_at_a_row_that_exists(source: str, column: str, target: str, key: str) -> None:
    known = {row[key] for row in table(target)}

    assert {row[column] for row in table(source) if row[column]} <= known


def test_the_main_references_are_never_empty() -> None:
    for source, column, _, _ in REFERENCES:
        if column in {"customer_id", "owner", "sku", "rate_date", "staff"}:
            assert all(row[column] for row in table(source)), (source, column)


def test_companies_contacts_and_numbers_occur_once() -> None:
    for column in ("company", "contact_name", "email", "phone"):
        values = [row[column] for row in table("customers")]
        assert len(set(values)) == len(values), column


def test_every_telephone_number_is_reserved_for_fiction() -> None:
    numbers = [row["phone"] for row in table("customers")]

    assert [number for number in numbers if not FICTIONAL_NUMBER.fullmatch(number)] == []


def test_every_mail_address_is_in_a_domain_reserved_for_examples() -> None:
    # Given all text that ships, that of the PDFs included
    shipped = [*documents(), *EXAMPLES.glob("data/*"), *EXAMPLES.glob("sources/**/*.*")]
    domains = {domain for path in shipped for domain in EMAIL.findall(text_of(path))}

    # Then no address could belong to anybody
    assert domains
    assert [domain for domain in domains if not RESERVED_DOMAIN.fullmatch(domain)] == []


def test_every_day_lies_in_the_period_of_the_books() -> None:
    columns = ("created_at", "updated_at", "consent_updated_at", "opened_at", "expected_close", "closed_at")
    for name in ("customers", "deals", "orders", "interactions", "exchange_rates"):
        for row in table(name):
            for column in (*columns, "ordered_on", "occurred_at", "date"):
                if value := row.get(column):
                    assert FIRST_DAY <= date.fromisoformat(value[:10]) <= LAST_DAY, (name, column, row)


def test_an_order_line_follows_from_list_price_rate_tier_discount_and_tax() -> None:
    # Given the price book
    products = by_key("products", "sku")
    rates = {(row["date"], row["currency"]): Decimal(row["rate"]) for row in table("exchange_rates")}
    tiers = table("price_tiers")
    for line in table("orders"):
        # When a line is priced again
        product, quantity = products[line["sku"]], int(line["quantity"])
        unit = cents(Decimal(product["unit_price"]) * rates[line["rate_date"], line["currency"]])
        steps = [
            Decimal(tier["discount_rate"])
            for tier in tiers
            if tier["tier"] == product["tier"]
            and int(tier["min_quantity"]) <= quantity <= int(tier["max_quantity"] or quantity)
        ]
        tier_rate = steps[0] if steps else Decimal(0)
        discount = Decimal(line["discount_rate"])
        net = cents(quantity * unit * (1 - tier_rate) * (1 - discount))
        tax = cents(net * Decimal(line["tax_rate"]))

        # Then it is what the order says, and nothing fixed was discounted
        assert len(steps) <= 1
        assert (str(unit), Decimal(line["tier_discount_rate"])) == (line["unit_price"], tier_rate)
        stated = [Decimal(line[column]) for column in ("line_net", "line_tax", "line_total")]
        assert stated == [net, tax, net + tax]
        assert discount == 0 or product["discountable"] == "true"
        assert product["status"] == "active"


def test_the_lines_of_an_order_add_up_to_its_total() -> None:
    for order_id, lines in grouped(table("orders"), "order_id").items():
        total = sum(Decimal(line["line_total"]) for line in lines)
        assert {Decimal(line["order_total"]) for line in lines} == {total}
        assert [int(line["line"]) for line in lines] == list(range(1, len(lines) + 1)), order_id
        for column in ("customer_id", "deal_id", "ordered_on", "currency", "status"):
            assert len({line[column] for line in lines}) == 1


def test_a_won_deal_has_one_order_of_its_amount_and_no_other_deal_has_any() -> None:
    orders = grouped(tuple(line for line in table("orders") if line["deal_id"]), "deal_id")

    assert set(orders) == {deal["id"] for deal in table("deals") if deal["status"] == "won"}
    for deal in table("deals"):
        if lines := orders.get(deal["id"]):
            assert len({line["order_id"] for line in lines}) == 1
            assert sum(Decimal(line["line_net"]) for line in lines) == Decimal(deal["amount"])
            assert {line["customer_id"] for line in lines} == {deal["customer_id"]}
            assert {line["ordered_on"] for line in lines} == {deal["closed_at"]}


def test_a_deal_is_closed_when_its_stage_says_so() -> None:
    for deal in table("deals"):
        closed = deal["stage"] in {"closed_won", "closed_lost"}
        assert closed == (deal["status"] != "open") == bool(deal["closed_at"]) == bool(deal["close_reason"])
        assert deal["opened_at"] <= (deal["closed_at"] or deal["expected_close"])


def test_a_discount_was_granted_by_the_first_in_the_chain_who_may() -> None:
    team = by_key("sales_team")
    for deal in table("deals"):
        discount, person = Decimal(deal["discount_rate"]), deal["owner"]
        while Decimal(team[person]["max_discount_rate"]) < discount:
            person = team[person]["manager"]
        assert deal["discount_approved_by"] == (person if discount else "")


def test_a_lifecycle_stage_agrees_with_deals_and_orders() -> None:
    deals = grouped(table("deals"), "customer_id")
    buyers = {line["customer_id"] for line in table("orders")}
    for customer in table("customers"):
        statuses = {deal["status"] for deal in deals[customer["id"]]}
        stage = customer["lifecycle_stage"]
        assert (customer["id"] in buyers) == (stage in {"customer", "churned"})
        assert ("open" in statuses) <= (stage in {"opportunity", "customer"})
        assert (stage == "opportunity") <= ("open" in statuses)


def test_money_of_a_customer_is_in_the_customers_currency() -> None:
    customers = by_key("customers")
    for name in ("deals", "orders"):
        assert all(row["currency"] == customers[row["customer_id"]]["currency"] for row in table(name))


def test_texts_go_to_mobiles_with_consent_in_office_hours_and_fit_one_segment() -> None:
    # Given the texts that the company sent, and how far a city is from UTC, summer time aside
    customers = by_key("customers")
    with (EXAMPLES / "sources" / "places.csv").open(newline="", encoding="utf-8") as file:
        offsets = {row["city"]: int(row["utc_hours"]) for row in csv.DictReader(file)}
    stops = {row["customer_id"]: row["occurred_at"] for row in table("interactions") if row["text"] == "STOP"}
    sent = [row for row in table("interactions") if row["direction"] == "outbound"]
    texts = [row for row in sent if row["channel"] == "sms"]

    # Then each was allowed, and none came after a STOP
    assert texts
    assert stops
    for message in texts:
        customer = customers[message["customer_id"]]
        stopped = stops.get(customer["id"])
        local = datetime.fromisoformat(message["occurred_at"]) + timedelta(hours=offsets[customer["city"]])
        assert customer["phone_type"] == "mobile"
        assert customer["sms_consent"] == "true" or stopped
        assert stopped is None or message["occurred_at"] < stopped
        assert 9 <= local.hour < 17
        assert local.weekday() < 5
        assert len(message["text"]) <= 160
    for customer_id in stops:
        assert customers[customer_id]["sms_consent"] == "false"


def test_no_message_has_an_unfilled_slot() -> None:
    assert [row["id"] for row in table("interactions") if re.search(r"[{}]|None|  ", row["text"])] == []


def test_there_are_about_thirty_documents_of_four_kinds() -> None:
    assert 25 <= len(documents()) <= 36
    assert {path.suffix for path in documents()} == {".md", ".pdf", ".csv", ".html"}


@pytest.mark.parametrize("path", MARKDOWN, ids=lambda path: path.stem)
def test_a_markdown_document_has_a_title_and_substance(path: Path) -> None:
    text = text_of(path)

    assert text.startswith("# ")
    assert 400 <= len(text.split()) <= 900


@pytest.mark.parametrize("path", PDFS, ids=lambda path: path.stem)
def test_the_text_of_a_pdf_can_be_extracted(path: Path) -> None:
    title = PdfReader(path).metadata

    assert title is not None
    assert " ".join(text_of(path).split()).startswith(str(title.title))
    assert len(text_of(path).split()) > 350


def test_every_product_that_a_document_names_is_in_the_catalogue() -> None:
    known = {row["sku"] for row in table("products")}

    assert {sku for path in documents() for sku in SKU.findall(text_of(path))} == known


def test_every_price_quoted_beside_a_product_is_the_list_price() -> None:
    # Given what documents say about prices
    products = by_key("products", "sku")
    texts = {path.name: text_of(path) for path in documents()}
    quoted = [(name, *quote) for name, text in texts.items() for quote in QUOTED_PRICE.findall(text)]

    # Then there is much of it, and it is true
    assert len(quoted) > 60
    wrong = [
        (name, sku, price)
        for name, sku, price in quoted
        if Decimal(price.replace(",", "")) != Decimal(products[sku]["unit_price"])
    ]
    assert wrong == []


def test_the_price_lists_hold_every_active_product_at_its_price() -> None:
    # Given the catalogue without what is not sold any more
    active = {row["sku"]: row["unit_price"] for row in table("products") if row["status"] == "active"}

    # Then the list in dollars is the same, and so is the PDF
    with (DOCUMENTS / "prices" / "price_list_2026_usd.csv").open(newline="", encoding="utf-8") as file:
        assert {row["sku"]: row["price"] for row in csv.DictReader(file)} == active
    words = text_of(DOCUMENTS / "prices" / "price_list_2026.pdf").replace(",", "").split()
    assert set(active) | set(active.values()) <= set(words)


def test_the_playbook_states_the_discount_authority_of_the_team() -> None:
    text = text_of(DOCUMENTS / "playbook" / "07_negotiation_and_discounts.md")
    names = {"vp_sales": "VP of Sales"}
    for person in table("sales_team"):
        role = names.get(person["role"], person["role"].replace("_", " ").capitalize())
        assert f"| {role} | {Decimal(person['max_discount_rate']):.0%} |".replace("%", " %") in text


def test_the_readme_states_how_many_rows_each_table_has() -> None:
    readme = (EXAMPLES / "README.md").read_text("utf-8")
    stated = dict(re.findall(r"^\| (\w+)\.csv \| (\d+) \|", readme, re.MULTILINE))

    assert {name: int(rows) for name, rows in stated.items()} == {name: len(table(name)) for name in KEYS}


def test_the_tables_are_rebuilt_byte_for_byte(tmp_path: Path) -> None:
    # When the generator runs again
    build_data(tmp_path)

    # Then it writes what is in the repository
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"customers.csv", "deals.csv", "orders.csv", "interactions.csv"}
    assert [name for name in names if differs(tmp_path / name, EXAMPLES / "data" / name)] == []


def test_another_seed_makes_another_company(tmp_path: Path) -> None:
    build_data(tmp_path, seed=1)

    assert differs(tmp_path / "deals.csv", EXAMPLES / "data" / "deals.csv")


def test_the_documents_are_rebuilt_byte_for_byte(tmp_path: Path) -> None:
    # Given the library that sets the PDFs, which only this needs
    pytest.importorskip("reportlab")
    from examples.build_documents import build as build_documents

    # When the documents are built again
    build_documents(tmp_path)

    # Then they are what is in the repository
    built = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file())
    assert [path for path in built if path.suffix == ".pdf"] == [path.relative_to(DOCUMENTS) for path in PDFS]
    assert [path for path in built if differs(tmp_path / path, DOCUMENTS / path)] == []


def differs(one: Path, other: Path) -> bool:
    return one.read_bytes() != other.read_bytes()
