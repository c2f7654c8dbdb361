"""A query gets the chunks that fit it best, whatever its text is."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from salesboost.faults import InputFault, NotFoundFault
from tasks.knowledge import lexical
from tasks.knowledge.citations import context
from tasks.knowledge.ingest import add
from tasks.knowledge.search import Hit, search
from tests.unit.knowledge.conftest import Write

GUIDE = """# Sales guide

## Discounts

Above ten percent a manager approves. Discounting without approval is forbidden.

## Delivery

From stock within five working days. No discount on delivery.

## Returns

Unopened goods within thirty days.
"""


@pytest.fixture
def guide(documents: Path, write: Write) -> None:
    """Add a guide with three sections to the default knowledge base."""
    write("guide.md", GUIDE)
    add("default", [documents], embed=False)


def headings(query: str) -> list[str]:
    return [hit.heading.split(" > ")[-1] for hit in search(query).hits]


@pytest.mark.usefixtures("guide")
def test_the_passage_that_fits_best_is_first() -> None:
    assert headings("who approves discounts?") == ["Discounts", "Delivery"]
    assert headings("send it back unopened") == ["Returns"]


@pytest.mark.usefixtures("guide")
def test_words_are_found_in_every_form_and_case() -> None:
    assert headings("APPROVING") == headings("approve") == ["Discounts"]


@pytest.mark.usefixtures("guide")
def test_a_hit_says_where_it_stands() -> None:
    (hit,) = search("unopened", kb="default").hits

    assert hit == Hit(
        id=hit.id,
        text="Unopened goods within thirty days.",
        source="guide.md",
        heading="Sales guide > Returns",
        page=None,
        score=hit.score,
    )
    assert len(hit.id) == 16
    assert hit.score > 0


@pytest.mark.usefixtures("guide")
def test_scores_fall_and_top_k_bounds_them() -> None:
    hits = search("discount delivery goods days", top_k=20).hits

    assert len(hits) == 3
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert search("discount delivery goods days", top_k=1).hits == hits[:1]


@pytest.mark.usefixtures("guide")
def test_an_answer_without_embeddings_says_that_it_is_lexical() -> None:
    assert search("discount").mode == "lexical"


def test_the_words_of_how_something_is_asked_do_not_count(documents: Path, write: Write) -> None:
    # Given a question of a FAQ, and what the query is about
    write("faq.md", "# FAQ\n\n## What does it cost, and how long does it take?\n\nAsk us.")
    write("terms.md", "# Terms\n\nThe warranty covers three years of normal use of every product that we sell.")
    add("default", [documents])

    # Then the query finds the latter
    assert [hit.source for hit in search("What does the warranty cover?").hits] == ["terms.md"]
    # And a query of such words alone still finds something
    assert [hit.source for hit in search("how does it").hits] == ["faq.md"]


@pytest.mark.usefixtures("guide")
@pytest.mark.parametrize("query", ["", " \n", '"', "***", "?!", "\0", "\ud800", "-", "()", "%", "'", "🙂"])
def test_a_query_without_a_word_finds_nothing(query: str) -> None:
    assert search(query).hits == ()


@pytest.mark.usefixtures("guide")
@pytest.mark.parametrize(
    "query",
    [
        '"discount',
        "discount OR",
        "NOT discount",
        "discount*",
        "text:discount",
        "NEAR(discount, 5)",
        "{heading}: discount",
        "^discount",
        "discount\0more",
        "discount\ud800",
        "discount'; DROP TABLE chunk; --",
        "di\u200bscount discount",
    ],
)
def test_no_sign_in_a_query_means_anything(query: str) -> None:
    assert headings(query)[0] == "Discounts"


@pytest.mark.usefixtures("guide")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text() | st.text(st.sampled_from('"*OR()^:-+ \0NEARd\ud800é\u0301')))
def test_no_text_is_an_error(query: str) -> None:
    search(query)


@pytest.mark.usefixtures("guide")
def test_a_very_long_query_is_searched_by_its_beginning() -> None:
    # Given a query of 100,000 different words, of which the first is known
    query = "discount " + " ".join(f"word{number}" for number in range(100_000))

    # Then it is answered, and soon
    begun = time.monotonic()
    assert headings(query) == ["Discounts", "Delivery"]
    assert time.monotonic() - begun < 2
    assert len(lexical.words(query)) == lexical.MAX_WORDS


def test_the_same_passage_in_two_documents_is_given_once(documents: Path, write: Write) -> None:
    write("a.md", "# One\n\nThe same terms.")
    write("copy/a.md", "# One\n\nThe same terms.")
    write("b.md", "# Two\n\nOther terms.")
    add("default", [documents])

    hits = search("terms", top_k=2).hits

    assert sorted(hit.text for hit in hits) == ["Other terms.", "The same terms."]


def test_ids_outlive_a_reading_of_the_document_where_the_passage_does(documents: Path, write: Write) -> None:
    # Given a document
    write("guide.md", GUIDE)
    add("default", [documents])
    before = {hit.heading: hit.id for hit in search("discount goods", top_k=20).hits}

    # When one of its sections changes
    write("guide.md", GUIDE.replace("thirty", "sixty"))
    add("default", [documents])
    after = {hit.heading: hit.id for hit in search("discount goods", top_k=20).hits}

    # Then the others keep their ids
    assert {heading for heading in before if before[heading] == after[heading]} == {
        "Sales guide > Discounts",
        "Sales guide > Delivery",
    }


def test_a_knowledge_base_that_is_not_there_is_refused_with_those_that_are(documents: Path, write: Write) -> None:
    # Given two knowledge bases
    write("a.md", "x")
    add("products", [documents])
    add("legal", [documents])

    # Then a third one is refused with their names and the remedy
    with pytest.raises(NotFoundFault) as caught:
        search("x", kb="pricing")
    assert str(caught.value) == (
        "kb must be a knowledge base that exists (legal, products), got 'pricing'; "
        "make it with: salesboost kb add FOLDER --kb pricing"
    )


def test_without_any_knowledge_base_the_remedy_is_named() -> None:
    with pytest.raises(NotFoundFault, match=r"\(there is none yet\), got 'default'; make it with: salesboost kb add"):
        search("x")


@pytest.mark.usefixtures("guide")
@pytest.mark.parametrize("top_k", [0, 21, -1])
def test_a_top_k_out_of_bounds_is_refused(top_k: int) -> None:
    with pytest.raises(InputFault, match=f"top_k must be 1 to 20, got {top_k}"):
        search("x", top_k=top_k)


@pytest.mark.usefixtures("guide")
def test_a_mode_that_cannot_be_had_is_refused_with_the_remedy() -> None:
    with pytest.raises(InputFault, match="mode must be lexical for knowledge base default, got 'dense'"):
        search("x", mode="dense")
    with pytest.raises(InputFault, match="mode must be one of lexical, dense, hybrid, got 'magic'"):
        search("x", mode="magic")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


def test_a_context_numbers_its_passages_and_names_their_places() -> None:
    hits = [Hit("1", "Text A.", "a.pdf", "Prices", 2, 1.0), Hit("2", "Text B.", "b.txt", "", None, 0.5)]

    assert context(hits) == "[1] a.pdf, Prices (p. 2)\nText A.\n\n[2] b.txt\nText B."
    assert context([]) == ""
