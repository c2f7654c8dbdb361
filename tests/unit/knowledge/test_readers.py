"""Each format becomes sections under the headings, and on the pages, that the author gave them."""

from __future__ import annotations

import io
import zipfile

import docx
import pytest
from pypdf import PdfWriter

from tasks.knowledge.documents import Block, Section, UnreadableDocument
from tasks.knowledge.readers import SUFFIXES, read, word


def pdf(*pages: str, title: str = "", password: str = "") -> bytes:
    """Return a PDF with a line of Helvetica on each page."""
    objects = [b"<< /Type /Catalog /Pages 2 0 R >>", b""]
    kids: list[int] = []
    for text in pages:
        stream = f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET".encode()
        objects.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream))
        font = b"<< /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >>"
        contents = len(objects)
        objects.append(b"<< /Type /Page /Parent 2 0 R /Resources %s /Contents %d 0 R >>" % (font, contents))
        kids.append(len(objects))
    references = " ".join(f"{kid} 0 R" for kid in kids).encode()
    objects[1] = b"<< /Type /Pages /MediaBox [0 0 612 792] /Count %d /Kids [%s] >>" % (len(kids), references)
    body, offsets = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, start=1):
        offsets.append(len(body))
        body += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    body += b"xref\n0 %d\n0000000000 65535 f \n%strailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF" % (
        len(objects) + 1,
        table,
        len(objects) + 1,
        len(body),
    )
    writer = PdfWriter(io.BytesIO(body))
    if title:
        writer.add_metadata({"/Title": title})
    if password:
        writer.encrypt(password, algorithm="RC4-128")
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def test_markdown_is_cut_at_its_headings() -> None:
    # Given a page with headings of several levels, metadata, a comment and a heading inside a code block
    source = b"""---
title: not text
---
Before.

# Guide to *pricing*
<!-- draft -->

Intro.

## Discounts

- ten
- twenty

```
# no heading
```

# End
## Empty
"""

    # Then each section knows its headings, and a heading with nothing under it is its own text
    assert read(".md", source) == [
        Section((Block("Before."),)),
        Section((Block("Intro."),), ("Guide to pricing",)),
        Section((Block("- ten\n- twenty"), Block("```\n# no heading\n```")), ("Guide to pricing", "Discounts")),
        Section((Block("Empty"),), ("End", "Empty")),
    ]


def test_a_markdown_table_keeps_its_header_apart() -> None:
    (section,) = read(".md", b"| sku | price |\n|---|---|\n| A | 1 |\n| B | 2 |\n")

    assert section.blocks == (Block("| A | 1 |\n| B | 2 |", header="| sku | price |\n|---|---|"),)


def test_html_is_read_without_the_furniture_of_the_page() -> None:
    # Given a page with a menu, a script and text inside, between and after its elements
    source = """<html><head><title>Shop</title><style>p{}</style></head><body><nav>Home</nav>
    <script>alert(1)</script><p>One <b>bold</b><i>face</i>.</p>loose
    <div>a<p>b</p>c</div><h2>Costs &amp; terms</h2><ul><li>first</li><li>second<br>line</li></ul>
    <table><tr><th>sku</th><th>price</th></tr><tr><td>A</td><td>1</td></tr></table><footer>imprint</footer>
    </body></html>"""

    # Then the words stay together that a reader sees together
    assert read(".html", source.encode()) == [
        Section((Block("One boldface."), Block("loose"), Block("a"), Block("b"), Block("c")), ("Shop",)),
        Section(
            (Block("- first"), Block("- second\nline"), Block("A | 1", header="sku | price")), ("Shop", "Costs & terms")
        ),
    ]


def test_html_that_is_nested_deeper_than_the_stack_is_read() -> None:
    (section,) = read(".html", b"<div>" * 5_000 + b"deep")

    assert section.blocks == (Block("deep"),)


def test_the_main_part_of_an_html_page_is_what_is_read() -> None:
    (section,) = read(".htm", b"<body>menu<main><h1>FAQ</h1>answer</main>more</body>")

    assert section == Section((Block("answer"),), ("FAQ",))


def test_a_pdf_is_read_by_page() -> None:
    # Given a PDF with an empty page in the middle
    found = read(".pdf", pdf("Prices rise", "", "Terms apply", title="Price  list"))

    # Then its pages are counted as a reader counts them
    assert [(section.page, section.headings, section.blocks[0].text) for section in found] == [
        (1, ("Price list",), "Prices rise"),
        (3, ("Price list",), "Terms apply"),
    ]


def test_a_pdf_with_an_owner_password_alone_is_read() -> None:
    writer = PdfWriter(io.BytesIO(pdf("Readable")))
    writer.encrypt(user_password="", owner_password="secret", algorithm="RC4-128")
    out = io.BytesIO()
    writer.write(out)

    assert read(".pdf", out.getvalue())[0].blocks == (Block("Readable"),)


def test_a_docx_is_read_in_its_order() -> None:
    # Given a document with a title, headings, a list and a table between paragraphs
    document = docx.Document()
    document.add_heading("Manual", 0)
    document.add_paragraph("Intro.")
    document.add_heading("Sizes", 2)
    table = document.add_table(rows=2, cols=2)
    for cell, text in zip((cell for row in table.rows for cell in row.cells), ("sku", "size", "A", "XL"), strict=True):
        cell.text = text
    document.add_paragraph("after", style="List Bullet")
    out = io.BytesIO()
    document.save(out)

    # Then headings, table and list are recognised
    assert read(".docx", out.getvalue()) == [
        Section((Block("Intro."),), ("Manual",)),
        Section((Block("A | XL", header="sku | size"), Block("- after")), ("Manual", "Sizes")),
    ]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_a_table_of_delimited_values_is_read_whatever_parts_its_columns(delimiter: str) -> None:
    rows = [["sku", "name"], ["A1", '"two\nlines"'], ["B2", "plain"], ["", ""]]
    source = "\r\n".join(delimiter.join(row) for row in rows)

    (section,) = read(".csv", source.encode())

    assert section.blocks == (Block("A1 | two lines\nB2 | plain", header="sku | name"),)


def test_a_table_of_one_column_is_read() -> None:
    (section,) = read(".csv", b"name\nAda\nGrace\n")

    assert section.blocks == (Block("Ada\nGrace", header="name"),)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("Grüße".encode(), "Grüße"),
        ("Grüße".encode("utf-8-sig"), "Grüße"),
        ("Grüße".encode("utf-16"), "Grüße"),
        ("Grüße – 5 €".encode("cp1252"), "Grüße – 5 €"),
    ],
)
def test_text_is_read_in_the_encodings_that_are_met(data: bytes, text: str) -> None:
    (section,) = read(".txt", data)

    assert section.blocks == (Block(text),)


def test_paragraphs_of_text_are_blocks() -> None:
    (section,) = read(".TXT", b"one\r\nline\r\n\r\n \r\ntwo\r\n")

    assert section.blocks == (Block("one\nline"), Block("two"))


@pytest.mark.parametrize(
    ("suffix", "data", "message"),
    [
        (".xlsx", b"PK", r"files of type \.xlsx are not read: \.csv, \.docx, .* are"),
        ("", b"x", "files of type none are not read"),
        (".md", b" \n", "the file holds no text"),
        (".txt", b"\x7fELF\0\1", "the file is binary, not text"),
        (".csv", b"a,b\n" + b"x" * 200_000, "the table is malformed: field larger than field limit"),
        (".pdf", b"no pdf at all", "the PDF is damaged"),
        (".pdf", pdf("hidden", password="secret"), "the PDF is protected by a password"),
        (".pdf", pdf("", ""), "the PDF holds no text, only pictures"),
        (".docx", b"PK no zip", "the DOCX is damaged"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_reason(suffix: str, data: bytes, message: str) -> None:
    with pytest.raises(UnreadableDocument, match=message):
        read(suffix, data)


def test_a_docx_that_unpacks_to_too_much_is_refused_before_it_is_unpacked() -> None:
    # Given a ZIP bomb
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("word/document.xml", "w") as part:
        for _ in range(word.MAX_UNPACKED // 2**20 + 1):
            part.write(bytes(2**20))

    # Then it is refused
    with pytest.raises(UnreadableDocument, match="when unpacked, at most"):
        read(".docx", out.getvalue())


def test_the_formats_are_the_promised_ones() -> None:
    assert {".md", ".txt", ".html", ".pdf", ".docx", ".csv"} <= SUFFIXES
