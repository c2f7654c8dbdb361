"""Search by meaning, with a small model of our own; all of it needs the optional packages."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tasks.knowledge import embedder, vectors
from tasks.knowledge.catalogue import list_kbs
from tasks.knowledge.connections import reading
from tasks.knowledge.ingest import add
from tasks.knowledge.locations import kb_file
from tasks.knowledge.minilm import MiniLM
from tasks.knowledge.search import search
from tests.unit.knowledge.conftest import Write

np: Any = pytest.importorskip("numpy", reason="the optional packages are not installed")

MEANINGS = ["money price cost budget", "time days delivery soon", "cold freezer temperature ice", "phone call sms"]


class Topics:
    """Knows four topics; a text's vector says how many words of each it has."""

    model = "topics"
    dimensions = len(MEANINGS)

    def embed(self, texts: Sequence[str]) -> Any:
        rows = [[0.1 + sum(word in topic for word in text.lower().split()) for topic in MEANINGS] for text in texts]
        found = np.array(rows, dtype=np.float32)
        return found / np.linalg.norm(found, axis=1, keepdims=True)


TOPICS = Topics()


@pytest.fixture
def filled(documents: Path, write: Write) -> Path:
    """Give the folder whose documents the default knowledge base holds, embedded."""
    write("a.md", "# Offer\n\nprice and budget")
    write("b.md", "# Terms\n\ndelivery in days")
    write("c.md", "# Sheet\n\nfreezer at night")
    add("default", [documents], model=TOPICS)
    return documents


def sources(query: str, **how: Any) -> list[str]:
    return [hit.source for hit in search(query, model=TOPICS, **how).hits]


@pytest.mark.usefixtures("filled")
def test_a_passage_without_a_word_of_the_query_is_found_by_its_meaning() -> None:
    assert sources("cost", top_k=1) == ["a.md"]
    assert sources("cost", mode="lexical") == []
    assert search("cost", model=TOPICS).mode == "hybrid"
    assert search("cost", model=TOPICS, mode="dense").mode == "dense"


@pytest.mark.usefixtures("filled")
def test_what_words_and_meaning_agree_on_is_first() -> None:
    (first, *_) = search("freezer ice", model=TOPICS).hits

    assert first.source == "c.md"
    assert first.score == pytest.approx(2 / 61)


@pytest.mark.usefixtures("filled")
def test_a_query_without_a_word_finds_nothing_by_meaning_either() -> None:
    assert sources('"*?') == []


@pytest.mark.usefixtures("filled")
def test_without_a_model_the_search_is_lexical_and_says_so() -> None:
    assert search("price").mode == "lexical"
    assert [hit.source for hit in search("price").hits] == ["a.md"]


def test_documents_that_were_added_without_the_model_are_embedded_when_it_is_there(
    documents: Path, write: Write
) -> None:
    # Given a knowledge base without embeddings
    write("a.md", "price")
    add("default", [documents], embed=False)
    assert search("price", model=TOPICS).mode == "lexical"

    # When its documents are added with the model
    report = add("default", [documents], model=TOPICS)

    # Then they are embedded, once
    assert report.embedded
    assert [step.outcome for step in report.steps] == ["changed"]
    assert [kb.embedded for kb in list_kbs()] == [1]
    assert search("price", model=TOPICS).mode == "hybrid"
    assert [step.outcome for step in add("default", [documents], model=TOPICS).steps] == ["unchanged"]
    # And an ingestion without the model leaves them so
    assert [step.outcome for step in add("default", [documents], embed=False).steps] == ["unchanged"]


def test_embeddings_in_memory_follow_the_index(filled: Path, write: Write) -> None:
    # Given a process that has searched
    assert sources("cost", mode="dense", top_k=1) == ["a.md"]

    # When documents change, vanish and come
    write("a.md", "# Offer\n\nphone call")
    (filled / "b.md").unlink()
    write("d.md", "# New\n\nmoney")
    add("default", [filled], model=TOPICS)

    # Then it finds what is there now
    assert sources("cost", mode="dense", top_k=1) == ["d.md"]
    assert sources("sms", mode="dense", top_k=1) == ["a.md"]
    assert "b.md" not in sources("soon", mode="dense", top_k=20)


@pytest.mark.usefixtures("filled")
def test_only_what_is_new_is_read_into_memory(filled: Path, write: Write) -> None:
    # Given the embeddings in memory
    with reading(kb_file("default")) as connection:
        before = vectors.matrix(connection, TOPICS)
        assert vectors.matrix(connection, TOPICS) is before

    # When one document more is there
    write("d.md", "money")
    add("default", [filled], model=TOPICS)

    # Then the others are kept
    with reading(kb_file("default")) as connection:
        after = vectors.matrix(connection, TOPICS)
    assert after.ids.tolist()[:3] == before.ids.tolist()
    assert np.array_equal(after.rows[:3], before.rows)
    assert len(after.ids) == 4


def test_a_vector_survives_being_stored() -> None:
    rows = np.random.default_rng(1).standard_normal((50, 384)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)

    packed = vectors.pack(rows)
    restored = np.stack([np.frombuffer(blob, dtype=np.int8) for blob in packed]).astype(np.float32)
    restored /= np.linalg.norm(restored, axis=1, keepdims=True)

    assert {len(blob) for blob in packed} == {384}
    assert ((rows * restored).sum(axis=1) > 0.999).all()


def test_the_installed_model_knows_what_belongs_together() -> None:
    for package in embedder.PACKAGES:
        pytest.importorskip(package, reason="the optional packages are not installed")
    model = MiniLM()
    texts = ["How much does it cost?", "The price is 79 dollars.", "Penguins live on the ice."]

    question, price, penguins = model.embed(texts)

    assert question @ price > question @ penguins + 0.2
    assert np.linalg.norm(question) == pytest.approx(1, abs=1e-5)
    # A text's vector does not depend on what it is embedded with.
    assert np.array_equal(model.embed(texts[:1])[0], question)
