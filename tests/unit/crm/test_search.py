"""Full-text search: words, order, pages, and no text that is an error."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.crm.conftest import Ask


@pytest.fixture
def stocked(ask: Ask) -> Ask:
    """Give a CRM with a few records."""
    ask("create", customer_id="C-1", data={"company": "Müller Kühlhaus", "email": "ann@kuehl.example"})
    ask("create", customer_id="C-2", data={"company": "Norvane Friends", "notes": "asked about Müller once"})
    ask("create", customer_id="C-3", data={"company": "The Who-Else Café", "phone": "+14155550100"})
    ask("create", entity="deal", record_id="D-1", customer_id="C-1", data={"name": "40 x Transit USB"})
    ask(
        "create",
        entity="interaction",
        record_id="I-1",
        customer_id="C-1",
        data={"channel": "phone", "direction": "inbound", "text": "Two meetings about vaccine refrigerators"},
    )
    return ask


def ids(ask: Ask, query: str, **payload: object) -> list[str]:
    return [str(record["id"]) for record in ask("search", query=query, **payload).records]


def test_a_title_counts_more_than_a_body(stocked: Ask) -> None:
    assert ids(stocked, "müller") == ["C-1", "C-2"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("MÜLLER kühl", ["C-1"]),
        ("kühl", ["C-1"]),
        ("ann@kuehl.example", ["C-1"]),
        ("the who", ["C-3"]),
        ("+14155550100", ["C-3"]),
        ("C-2", ["C-2"]),
        ("meeting refrigerator", ["I-1"]),
        ("transit nothing", []),
    ],
)
def test_every_word_must_begin_a_word_of_the_record(stocked: Ask, query: str, expected: list[str]) -> None:
    assert ids(stocked, query) == expected


def test_a_search_can_be_narrowed_to_an_entity_and_a_customer(stocked: Ask) -> None:
    everything = ids(stocked, "1")
    assert {"C-1", "D-1", "I-1"} <= set(everything)
    assert ids(stocked, "1", entity="deal") == ["D-1"]
    assert set(ids(stocked, "1", customer_id="C-1")) == {"C-1", "D-1", "I-1"}


def test_a_changed_record_is_found_by_its_new_words_only(stocked: Ask) -> None:
    stocked("update", customer_id="C-2", data={"notes": "asked about dry ice"})

    assert ids(stocked, "müller") == ["C-1"]
    assert ids(stocked, "dry ice") == ["C-2"]


def test_pages_of_a_search_hold_every_hit_once(ask: Ask) -> None:
    for number in range(7):
        ask("create", data={"company": f"Company {'x ' * number}"}, customer_id=f"C-{number}")

    seen: list[object] = []
    cursor = None
    while True:
        reply = ask("search", query="company", limit=2, cursor=cursor)
        seen += [record["id"] for record in reply.records]
        cursor = reply.next_cursor
        if cursor is None:
            break

    assert sorted(map(str, seen)) == [f"C-{number}" for number in range(7)]


@pytest.mark.parametrize(
    "query",
    [
        *("", " ", '"', '""', "*", "OR", "AND NOT", "a OR", "NEAR(", "title:x", "^", "-", "\\", "%", "_", "((("),
        *("&|!", "a & | b", "<->", "a:*", "'", "'; DROP TABLE customers; --", "\x00", "a\x00b", "🙂"),
    ],
)
def test_no_query_is_an_error(stocked: Ask, query: str) -> None:
    ids(stocked, query)


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(query=st.text(max_size=60))
def test_no_text_whatever_is_an_error(stocked: Ask, query: str) -> None:
    ids(stocked, query)
