"""Files of knowledge bases are made whole, read as of one moment, and refused when they are not ours."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from salesboost.faults import ToolFault, TransientFault
from tasks.knowledge import connections
from tasks.knowledge.connections import reading, turn, writing
from tasks.knowledge.ingest import add
from tasks.knowledge.locations import kb_file
from tasks.knowledge.search import search
from tests.unit.knowledge.conftest import Write


@pytest.fixture
def file(documents: Path, write: Write) -> Path:
    """Give the file of the default knowledge base; one document is in it."""
    write("a.md", "Apples.")
    add("default", [documents])
    return kb_file("default")


def count(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT count(*) FROM document").fetchone()[0])


def test_a_reader_sees_one_moment(file: Path) -> None:
    with reading(file) as reader, writing(file) as writer:
        # Given a reader that has begun
        assert count(reader) == 1

        # When a writer removes everything
        with turn(writer):
            writer.execute("DELETE FROM document")

        # Then the reader sees it only when it begins anew
        assert count(reader) == 1
    with reading(file) as reader:
        assert count(reader) == 0


def test_a_turn_that_fails_leaves_nothing_behind(file: Path) -> None:
    def half(writer: sqlite3.Connection) -> None:
        with turn(writer):
            writer.execute("DELETE FROM document")
            raise RuntimeError

    with writing(file) as writer:
        with pytest.raises(RuntimeError):
            half(writer)

        assert count(writer) == 1


def test_readers_cannot_write(file: Path) -> None:
    with pytest.raises(TransientFault, match="readonly"), reading(file) as reader:
        reader.execute("DELETE FROM document")


def test_a_connection_is_used_again(file: Path) -> None:
    with reading(file) as first:
        pass
    with reading(file) as second:
        assert second is first
        with reading(file) as third:
            assert third is not first


def test_a_file_that_was_replaced_is_opened_anew(file: Path, documents: Path, write: Write) -> None:
    # Given a reader that keeps its connection, and a restored backup of another state
    assert search("apples").hits
    write("a.md", "Pears.")
    add("other", [documents])
    for suffix in ("", "-wal", "-shm"):
        file.with_name(file.name + suffix).unlink(missing_ok=True)
    kb_file("other").rename(file)

    # Then the new file is what is read
    assert search("pears").hits
    assert not search("apples").hits


def test_a_writer_waits_its_turn_and_gives_up_with_a_fault_that_is_tried_again(
    file: Path, documents: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "BUSY_SECONDS", 0.1)
    write("a.md", "Pears.")
    with writing(file) as other, turn(other):
        with pytest.raises(TransientFault, match="knowledge base default cannot be reached now: database is locked"):
            add("default", [documents])

        # And readers do not wait at all
        assert search("apples").hits


def test_what_is_no_knowledge_base_is_refused_with_the_remedy(documents: Path) -> None:
    path = kb_file("default")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"no database " * 1000)

    for use in (lambda: search("x"), lambda: add("default", [documents])):
        with pytest.raises(
            ToolFault, match=r"default\.sqlite3 is damaged .*: move the file away and add the documents"
        ):
            use()


def test_a_file_of_another_release_is_refused_with_the_remedy(file: Path, write: Write) -> None:
    newer = sqlite3.connect(file)
    newer.execute("PRAGMA user_version = 99")
    newer.close()

    with pytest.raises(ToolFault, match=r"default\.sqlite3 has version 99, this release reads 1: move the file away"):
        add("default", [write("b.md", "x")])


def test_no_draft_of_a_file_is_left(file: Path) -> None:
    assert {path.name.removesuffix("-wal").removesuffix("-shm") for path in file.parent.iterdir()} == {file.name}
