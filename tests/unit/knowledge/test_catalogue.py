"""Knowledge bases are listed and removed."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from salesboost.faults import NotFoundFault
from tasks.knowledge.catalogue import list_kbs, remove, snapshot
from tasks.knowledge.ingest import add
from tasks.knowledge.locations import kb_file
from tasks.knowledge.search import search
from tests.unit.knowledge.conftest import Write


def test_there_is_none_at_first() -> None:
    assert list_kbs() == []


def test_each_says_what_it_holds(documents: Path, write: Write) -> None:
    # Given two knowledge bases
    write("a.md", "# A\n\nOne.\n\n# B\n\nTwo.")
    add("sales", [documents], embed=False)
    add("legal", [documents / "a.md"], embed=False)

    # Then they are listed by name
    listed = list_kbs()
    assert [(kb.name, kb.documents, kb.chunks, kb.embedded) for kb in listed] == [
        ("legal", 1, 2, 0),
        ("sales", 1, 2, 0),
    ]
    assert all(kb.size > 0 and kb.since for kb in listed)


def test_a_removed_one_is_gone_and_can_be_made_again(documents: Path, write: Write) -> None:
    # Given a knowledge base
    write("a.md", "Apples.")
    add("default", [documents])

    # When it is removed
    assert remove("default") == 1

    # Then it is not there any more
    assert list_kbs() == []
    with pytest.raises(NotFoundFault, match="there is none yet"):
        search("apples")

    # And can be made again
    assert add("default", [documents]).count("added") == 1
    assert search("apples").hits


def test_what_is_not_there_cannot_be_removed() -> None:
    with pytest.raises(NotFoundFault, match="got 'sales'"):
        remove("sales")


def test_a_search_that_is_under_way_ends_on_what_it_began_with(documents: Path, write: Write) -> None:
    # Given a reader in the middle of its work
    write("a.md", "Apples.")
    add("default", [documents])
    with snapshot("default") as reader:
        # When everything is removed
        remove("default")

        # Then it sees what it saw
        assert reader.execute("SELECT count(*) FROM chunk").fetchone() == (1,)


def test_the_index_of_words_follows_the_chunks(documents: Path, write: Write) -> None:
    # Given a knowledge base in which documents were added, changed and removed
    for number in range(5):
        write(f"{number}.md", f"# Report {number}\n\nApples {number}.")
    add("default", [documents])
    write("1.md", "Pears.")
    (documents / "2.md").unlink()
    add("default", [documents])

    # Then FTS5's own check (https://sqlite.org/fts5.html, 6.3) finds nothing wrong
    with sqlite3.connect(kb_file("default")) as connection:
        connection.execute("INSERT INTO words (words, rank) VALUES ('integrity-check', 1)")
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    connection.close()
