"""An ingestion takes what changed, removes what vanished and reports what it cannot read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from salesboost.faults import InputFault
from tasks.knowledge import ingest
from tasks.knowledge.catalogue import list_kbs
from tasks.knowledge.documents import Section
from tasks.knowledge.ingest import Progress, add
from tasks.knowledge.readers import read
from tasks.knowledge.search import search
from tests.unit.knowledge.conftest import Write


def sources(query: str) -> set[str]:
    return {hit.source for hit in search(query, top_k=20).hits}


def outcomes(folder: Path) -> dict[str, str]:
    return {step.source: step.outcome for step in add("default", [folder]).steps}


def test_a_folder_is_added_and_found(documents: Path, write: Write) -> None:
    # Given documents of several formats
    write("guide.md", "# Guide\n\nDiscounts need approval.")
    write("faq.html", "<h1>FAQ</h1><p>Discounts are rare.</p>")
    write("prices.csv", "sku,name\nA1,Discounts\n")
    write("logo.png", "x")

    # When the folder is added
    report = add("default", [documents])

    # Then each is found
    assert report.count("added") == 3
    assert report.skipped == ("logo.png",)
    assert sources("discount") == {"guide.md", "faq.html", "prices.csv"}


def test_a_second_time_only_what_changed_is_read(
    documents: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a knowledge base
    write("same.md", "Apples.")
    write("changed.md", "Pears.")
    write("gone.md", "Plums.")
    write("touched.md", "Figs.")
    assert set(outcomes(documents).values()) == {"added"}

    # When one file changes, one vanishes, one is new and one is saved as it was
    write("changed.md", "Cherries.")
    write("new.md", "Quinces.")
    (documents / "gone.md").unlink()
    os.utime(documents / "touched.md", (1, 1))
    readings: list[str] = []

    def counted(suffix: str, data: bytes) -> list[Section]:
        readings.append(data.decode())
        return read(suffix, data)

    monkeypatch.setattr(ingest, "read", counted)
    found = outcomes(documents)

    # Then only what is new or changed is read
    assert found == {
        "same.md": "unchanged",
        "touched.md": "unchanged",
        "changed.md": "changed",
        "new.md": "added",
        "gone.md": "removed",
    }
    assert sorted(readings) == ["Cherries.", "Quinces."]

    # And the old text is not found any more
    assert sources("pears plums") == set()
    assert sources("cherries quinces apples figs") == {"same.md", "touched.md", "changed.md", "new.md"}


def test_adding_one_folder_leaves_the_documents_of_another_alone(documents: Path, write: Write) -> None:
    # Given a knowledge base made of two folders
    write("a/one.md", "Apples.")
    gone = write("b/two.md", "Pears.")
    add("default", [documents / "a", documents / "b"])

    # When a file of the second vanishes and the first is added again
    gone.unlink()
    add("default", [documents / "a"])

    # Then nobody has said that the second was looked at
    assert sources("pears") == {"two.md"}


def test_a_bad_file_is_reported_and_the_others_are_added(documents: Path, write: Write) -> None:
    # Given a damaged, an empty, an unreadable and a good file
    write("a_damaged.pdf", "no pdf")
    write("b_empty.md", "")
    write("c_dangling.md", "x").unlink()
    (documents / "c_dangling.md").symlink_to(documents / "nowhere")
    write("d_good.md", "Good.")

    # When the folder is added
    report = add("default", [documents])

    # Then the report says why, and the good one is found
    assert report.count("added") == 1
    assert report.failures["b_empty.md"] == "the file holds no text"
    assert report.failures["a_damaged.pdf"].startswith("the PDF is damaged")
    assert sources("good") == {"d_good.md"}


def test_a_reader_that_breaks_fails_one_file_only(
    documents: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a library that raises what nobody expects
    def broken(suffix: str, data: bytes) -> list[Section]:
        if b"poison" in data:
            raise RecursionError("too deep")
        return read(suffix, data)

    monkeypatch.setattr(ingest, "read", broken)
    write("bad.md", "poison")
    write("good.md", "Good.")

    # Then only that file fails
    assert add("default", [documents]).failures == {"bad.md": "RecursionError: too deep"}
    assert sources("good") == {"good.md"}


def test_a_document_that_becomes_unreadable_stays_as_it_was(documents: Path, write: Write) -> None:
    # Given a document
    write("a.md", "Apples.")
    add("default", [documents])

    # When it is replaced by something that cannot be read
    write("a.md", b"\0\0\0")
    report = add("default", [documents])

    # Then the failure is reported and the last good version is found
    assert report.failures == {"a.md": "the file is binary, not text"}
    assert sources("apples") == {"a.md"}


def test_a_file_that_is_too_large_is_reported(documents: Path, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest, "MAX_BYTES", 2**20)
    write("a.md", "x" * (2**20 + 1))

    assert add("default", [documents]).failures == {"a.md": "the file is larger than 1 MiB"}


def test_a_file_whose_name_is_no_text_is_reported(documents: Path, write: Write) -> None:
    # Given a file that an old system named in Latin-1
    try:
        Path(os.fsdecode(os.fsencode(documents) + b"/pr\xeds.md")).write_text("Prices.", encoding="utf-8")
    except OSError:
        pytest.skip("this file system takes names in UTF-8 only")
    write("good.md", "Good.")

    # Then it is reported and the others are added
    report = add("default", [documents])
    assert report.failures == {"pr?s.md": "the file's name is not UTF-8: rename it"}
    assert report.count("added") == 1


def test_progress_is_told_document_by_document(documents: Path, write: Write) -> None:
    # Given a knowledge base that has lost a file, and gained a good and a bad one
    gone = write("gone.md", "x")
    add("default", [documents])
    gone.unlink()
    write("bad.txt", b"\0")
    write("good.md", "Good.")

    # When it is brought up to date
    told: list[Progress] = []
    report = add("default", [documents], told.append)

    # Then each step was told, and the last one is the last
    assert told == list(report.steps)
    assert told == [
        Progress(1, 3, "gone.md", "removed"),
        Progress(2, 3, "bad.txt", "failed", "the file is binary, not text"),
        Progress(3, 3, "good.md", "added"),
    ]


def test_an_empty_folder_makes_an_empty_knowledge_base(documents: Path) -> None:
    report = add("empty", [documents])

    assert report.steps == ()
    assert [(kb.name, kb.documents) for kb in list_kbs()] == [("empty", 0)]


def test_a_path_that_does_not_exist_makes_no_knowledge_base(home: Path) -> None:
    with pytest.raises(InputFault, match="got 'nowhere'"):
        add("default", ["nowhere"])

    assert not home.exists()


@pytest.mark.parametrize("kb", ["", "Default", "../secret", "a/b", "-x", "a" * 65, "ü"])
def test_a_name_that_no_knowledge_base_can_have_is_refused(documents: Path, kb: str) -> None:
    with pytest.raises(InputFault, match="kb must be 1 to 64 lower case letters, digits, - and _"):
        add(kb, [documents])


def test_a_document_that_another_process_published_meanwhile_is_read_again(
    documents: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given two processes that add the same folder, of which ours has read an older text
    write("a.md", "Apples.")
    interleaved: list[str] = []

    def slow(suffix: str, data: bytes) -> list[Section]:
        if not interleaved:
            interleaved.append(data.decode())
            write("a.md", "Pears.")
            add("default", [documents])
        return read(suffix, data)

    monkeypatch.setattr(ingest, "read", slow)

    # When ours is done
    report = add("default", [documents])

    # Then the newer text has not been overwritten by the older one
    assert interleaved == ["Apples."]
    assert [step.outcome for step in report.steps] == ["unchanged"]
    assert sources("apples") == set()
    assert sources("pears") == {"a.md"}
