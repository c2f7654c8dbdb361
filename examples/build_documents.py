"""Rebuild the example company's PDF documents and price lists.

    python -m examples.build_documents [--into DIRECTORY]

Each `sources/pdf/*.md` becomes a PDF, and `data/products.csv` with its tiers makes the price lists: CSV in US
dollars and euros, PDF in US dollars. PDFs carry no time stamp and are not compressed, so that two runs, also
with different zlib versions, give the same bytes; another reportlab version may give others.
"""

import argparse
import re
from decimal import Decimal
from html import escape
from pathlib import Path
from typing import Any

# reportlab ships no type information.
from reportlab.lib import colors  # type: ignore[import-untyped]
from reportlab.lib.pagesizes import A4  # type: ignore[import-untyped]
from reportlab.lib.styles import getSampleStyleSheet  # type: ignore[import-untyped]
from reportlab.lib.units import mm  # type: ignore[import-untyped]
from reportlab.platypus import (  # type: ignore[import-untyped]
    ListFlowable,
    Paragraph,
    SimpleDocTemplate,
    Spacer,
    Table,
    TableStyle,
)

from examples.company.orders import cents
from examples.company.tables import EXAMPLES, Row, read_table, write_table

PRICE_LIST_DAY = "2026-07-01"
TEXT_WIDTH = 170 * mm
STYLES = getSampleStyleSheet()
GRID = TableStyle(
    [
        ("GRID", (0, 0), (-1, -1), 0.4, colors.grey),
        ("BACKGROUND", (0, 0), (-1, 0), colors.whitesmoke),
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
    ]
)
TIER_TITLES = {
    "SENSOR": "Sensors",
    "GATEWAY": "Gateways",
    "TRANSIT": "Transit loggers and trip reports",
    "ACCESSORY": "Accessories",
    "CLOUD": "Cloud plans",
}
FAMILIES = {
    "sensor": "Sensors",
    "gateway": "Hubs",
    "transit": "Transit loggers",
    "accessory": "Accessories",
    "cloud": "Cloud plans and options",
    "service": "Services",
    "kit": "Starter kits",
}


def build(into: Path) -> None:
    """Write the PDFs to `products/` and the price lists to `prices/` below the directory."""
    sheets, prices = into / "products", into / "prices"
    for folder in (sheets, prices):
        folder.mkdir(parents=True, exist_ok=True)
    for source in sorted((EXAMPLES / "sources" / "pdf").glob("*.md")):
        write_pdf(sheets / f"{source.stem}.pdf", source.read_text("utf-8"))
    products = [row for row in read_table(EXAMPLES / "data" / "products.csv") if row["status"] == "active"]
    for currency in ("USD", "EUR"):
        write_table(prices / f"price_list_2026_{currency.lower()}.csv", price_rows(products, currency))
    write_pdf(prices / "price_list_2026.pdf", price_list(products))


def price_rows(products: list[Row], currency: str) -> list[Row]:
    """Return the price list in a currency, at the rate of the day on which the list came into force."""
    rates = read_table(EXAMPLES / "data" / "exchange_rates.csv")
    of_the_day = {row["currency"]: Decimal(row["rate"]) for row in rates if row["date"] == PRICE_LIST_DAY}
    rate = of_the_day[currency]
    return [
        {
            "sku": product["sku"],
            "name": product["name"],
            "unit": product["unit"],
            "price": str(cents(Decimal(product["unit_price"]) * rate)),
            "currency": currency,
            "tier": product["tier"],
            "valid_from": PRICE_LIST_DAY,
        }
        for product in products
    ]


def price_list(products: list[Row]) -> str:
    """Return the price list as Markdown."""
    parts = [
        "# Norvane price list 2026",
        f"In US dollars, valid from {PRICE_LIST_DAY}, without tax. Part of a data set, and no offer.",
    ]
    for family, title in FAMILIES.items():
        parts.append(f"## {title}")
        rows = [
            f"| {row['sku']} | {row['name']} | {row['unit']} | {Decimal(row['unit_price']):,.2f} |"
            for row in products
            if row["family"] == family
        ]
        parts.append("\n".join(["| SKU | Product | Unit | USD |", "|---|---|---|---|", *rows]))
    parts.append("## Volume tiers")
    tiers = [
        f"| {TIER_TITLES[row['tier']]} | {int(row['min_quantity']):,} | {Decimal(row['discount_rate']):.0%} |"
        for row in read_table(EXAMPLES / "data" / "price_tiers.csv")
        if Decimal(row["discount_rate"])
    ]
    parts.append("\n".join(["| Group | From quantity | Discount |", "|---|---|---|", *tiers]))
    parts.append(
        "A tier applies to the quantity of a single item. Services, starter kits and the SMS Alarm Pack have "
        "fixed prices. Other currencies are converted at the rate of the first day of the month."
    )
    return "\n\n".join(parts)


def write_pdf(path: Path, markdown: str) -> None:
    """Write a Markdown text (headings, paragraphs, lists, tables, bold) as a PDF with extractable text."""
    document = SimpleDocTemplate(
        str(path),
        pagesize=A4,
        leftMargin=20 * mm,
        rightMargin=20 * mm,
        topMargin=18 * mm,
        bottomMargin=18 * mm,
        title=markdown.partition("\n")[0].removeprefix("# "),
        author="Norvane Monitoring (fictional)",
        invariant=1,
        pageCompression=0,
    )
    blocks = re.split(r"\n{2,}", markdown.strip())
    document.build([flowable for block in blocks for flowable in flowables(block)])


def flowables(block: str) -> list[Any]:
    """Return what reportlab sets for one block of Markdown."""
    lines = block.splitlines()
    if heading := re.match(r"(#+) (.*)", block):
        style = "Title" if len(heading[1]) == 1 else "Heading2"
        return [Paragraph(inline(heading[2]), STYLES[style])]
    if lines[0].startswith("|"):
        cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in (lines[0], *lines[2:])]
        return [table(cells), Spacer(1, 4 * mm)]
    if lines[0].startswith("- "):
        items = [" ".join(item.split()) for item in re.split(r"^- ", block, flags=re.MULTILINE)[1:]]
        paragraphs = [Paragraph(inline(item), STYLES["BodyText"]) for item in items]
        return [ListFlowable(paragraphs, bulletType="bullet", start="-", leftIndent=12)]
    return [Paragraph(inline(" ".join(lines)), STYLES["BodyText"])]


def table(cells: list[list[str]]) -> Any:
    """Return a table whose columns share the width by the length of their texts."""
    longest = [min(max(len(row[column]) for row in cells), 45) + 8 for column in range(len(cells[0]))]
    widths = [TEXT_WIDTH * length / sum(longest) for length in longest]
    rows = [[Paragraph(inline(cell), STYLES["BodyText"]) for cell in row] for row in cells]
    return Table(rows, colWidths=widths, repeatRows=1, style=GRID)


def inline(text: str) -> str:
    """Return reportlab's markup for a line: escaped, with bold."""
    return re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", escape(text, quote=False))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Rebuild the PDFs and price lists of the example company.")
    parser.add_argument("--into", type=Path, default=EXAMPLES / "documents", help="directory to write to")
    build(parser.parse_args().into)
