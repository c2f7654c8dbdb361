"""Folders and files that a user names become files to read."""

from __future__ import annotations

from pathlib import Path

import pytest

from salesboost.faults import InputFault
from tasks.knowledge.sources import SourceFile, find
from tests.unit.knowledge.conftest import Write


def test_a_folder_gives_what_can_be_read_below_it_and_says_what_cannot(documents: Path, write: Write) -> None:
    # Given a folder with documents, pictures, hidden files and a lock file of an office program
    for name in ("b.md", "a/deep/c.PDF", "logo.png", ".hidden.md", ".git/d.md", "~$b.docx"):
        write(name, "x")

    # When it is searched
    found = find([documents])

    # Then documents are cited relative to it
    assert found.files == (
        SourceFile(documents / "a/deep/c.PDF", "a/deep/c.PDF"),
        SourceFile(documents / "b.md", "b.md"),
    )
    assert found.skipped == ("logo.png",)
    assert found.folders == (documents,)


def test_a_file_that_is_named_itself_is_taken_whatever_its_type(write: Write) -> None:
    path = write("sub/table.xlsx", "x")

    assert find([path]).files == (SourceFile(path, "table.xlsx"),)


def test_a_file_that_is_named_twice_is_taken_once(documents: Path, write: Write) -> None:
    path = write("sub/a.md", "x")

    assert len(find([documents, path, documents / "sub"]).files) == 1


def test_a_circle_of_links_is_not_followed(documents: Path, write: Write) -> None:
    path = write("sub/a.md", "x")
    (documents / "sub" / "loop").symlink_to(documents)

    assert find([documents]).files == (SourceFile(path, "sub/a.md"),)


def test_a_relative_path_names_the_same_documents(
    documents: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("a.md", "x")
    monkeypatch.chdir(documents.parent)

    assert find(["documents"]) == find([documents])


def test_a_path_that_does_not_exist_is_refused_by_name() -> None:
    with pytest.raises(InputFault, match="paths must name files and folders that exist, got 'nowhere'"):
        find(["nowhere"])


def test_no_path_at_all_is_refused() -> None:
    with pytest.raises(InputFault, match="at least one file or folder"):
        find([])
