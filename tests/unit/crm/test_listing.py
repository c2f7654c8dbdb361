"""Listings, their filters and their cursors."""

from __future__ import annotations

from typing import Any

import pytest

from salesboost.faults import InputFault
from tasks.crm.paging import PAGE_BYTES
from tests.unit.crm.conftest import Ask


def pages(ask: Ask, action: str, **payload: Any) -> list[list[str]]:
    found: list[list[str]] = []
    cursor = None
    while True:
        reply = ask(action, cursor=cursor, **payload)
        found.append([str(record["id"]) for record in reply.records])
        cursor = reply.next_cursor
        if cursor is None:
            return found


def test_pages_hold_every_record_once_newest_first(ask: Ask) -> None:
    for number in range(7):
        ask("create", data={"company": f"Company {number}"}, customer_id=f"C-{number}")

    assert pages(ask, "list", limit=3) == [["C-6", "C-5", "C-4"], ["C-3", "C-2", "C-1"], ["C-0"]]
    assert len(ask("list", limit=7).records) == 7
    assert ask("list", limit=7).next_cursor is None


def test_a_listing_neither_skips_nor_repeats_while_others_write(ask: Ask) -> None:
    # Given the first page of four customers
    for number in range(4):
        ask("create", data={"company": f"Company {number}"}, customer_id=f"C-{number}")
    first = ask("list", limit=2)

    # When one is added and one of the coming page is changed
    ask("create", data={"company": "New"}, customer_id="C-9")
    ask("update", customer_id="C-1", data={"employees": 1})

    # Then the second page is what it would have been
    second = ask("list", limit=2, cursor=first.next_cursor)
    assert [record["id"] for record in second.records] == ["C-1", "C-0"]


def test_filters_and_customer_narrow_a_listing(ask: Ask) -> None:
    for customer in ("C-1", "C-2"):
        ask("create", data={"company": customer, "segment": "smb", "sms_consent": True}, customer_id=customer)
        for stage in ("discovery", "closed_won"):
            ask("create", entity="deal", customer_id=customer, data={"name": "Tags", "stage": stage})

    won = ask("list", entity="deal", customer_id="C-1", filters={"status": "won"}).records
    assert [(deal["customer_id"], deal["stage"]) for deal in won] == [("C-1", "closed_won")]
    assert len(ask("list", filters={"segment": "smb", "sms_consent": True}).records) == 2
    assert ask("list", filters={"segment": "enterprise"}).records == []


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        ({"filters": {"colour": "red"}}, r"filters\.colour: a listing of customer can be narrowed by city, company"),
        ({"filters": {"segment": 1}}, r"filters\.segment must be of type str, got 1"),
        ({"entity": "product", "customer_id": "C-1"}, "products belong to no customer"),
    ],
)
def test_a_wrong_filter_is_named(ask: Ask, payload: dict[str, Any], message: str) -> None:
    with pytest.raises(InputFault, match=message):
        ask("list", **payload)


def test_a_cursor_is_of_use_only_for_the_listing_that_gave_it(ask: Ask) -> None:
    # Given a cursor of a listing
    for number in range(3):
        ask("create", data={"company": f"Company {number}", "segment": "smb"}, customer_id=f"C-{number}")
    cursor = ask("list", limit=1).next_cursor
    assert cursor is not None

    # When it is forged, or used for another listing, then it is refused
    middle = len(cursor) // 2
    forged = cursor[:middle] + ("A" if cursor[middle] != "A" else "B") + cursor[middle + 1 :]
    for payload in (
        {"cursor": forged},
        {"cursor": cursor[:-4]},
        {"cursor": "ä ö"},
        {"cursor": ""},
        {"cursor": cursor, "filters": {"segment": "smb"}},
        {"cursor": cursor, "entity": "deal"},
        {"cursor": cursor, "tenant": "other"},
        {"cursor": cursor, "customer_id": "C-1"},
    ):
        with pytest.raises(InputFault, match="cursor must be the next_cursor of the page before"):
            ask("list", **payload)
    with pytest.raises(InputFault, match="cursor must be"):
        ask("search", query="company", cursor=cursor)

    # And another page size is another page, not another listing
    assert len(ask("list", cursor=cursor, limit=100).records) == 2


def test_a_page_ends_before_it_grows_too_large_for_a_result(ask: Ask) -> None:
    for number in range(40):
        ask("create", data={"company": "x", "notes": "n" * 8000}, customer_id=f"C-{number}")

    reply = ask("list", limit=100)

    assert len(reply.model_dump_json().encode()) < PAGE_BYTES + 10_000
    assert sum(len(page) for page in pages(ask, "list", limit=100)) == 40
