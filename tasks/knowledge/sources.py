"""Finds the files that a request to add folders and files means."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from salesboost.faults import InputFault
from tasks.knowledge.readers import SUFFIXES


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file to read.

    Attributes:
        path: Absolute; the document's identity in its knowledge base.
        source: How it is cited: relative to the folder that was added, the name of a file that was added itself.
    """

    path: Path
    source: str


@dataclass(frozen=True, slots=True)
class Found:
    """What the paths that were given hold.

    Attributes:
        files: Sorted by path, each once.
        skipped: Paths of files in the folders whose type is not read.
        folders: The folders that were given: what the index has of them and the disk has not is gone.
    """

    files: tuple[SourceFile, ...]
    skipped: tuple[str, ...]
    folders: tuple[Path, ...]


def find(paths: Iterable[str | os.PathLike[str]]) -> Found:
    """Return the files at and under *paths*.

    In folders, hidden files, lock files of office programs and links to other folders are passed over. A file that is
    named itself is taken whatever its type, so that its failure is reported.

    Raises:
        InputFault: A path does not exist, or there is none.
    """
    files: dict[Path, SourceFile] = {}
    skipped: list[str] = []
    folders: list[Path] = []
    given = [Path(path) for path in paths]
    if not given:
        raise InputFault("paths must name at least one file or folder, got none")
    for path in given:
        # Not resolve(): the target of a link is not what the user named.
        absolute = path.expanduser().absolute()
        if absolute.is_file():
            files[absolute] = SourceFile(absolute, _citable(absolute.name))
        elif absolute.is_dir():
            folders.append(absolute)
            for found in _walk(absolute):
                name = _citable(found.relative_to(absolute).as_posix())
                if found.suffix.lower() in SUFFIXES:
                    files[found] = SourceFile(found, name)
                else:
                    skipped.append(name)
        else:
            raise InputFault(f"paths must name files and folders that exist, got {str(path)!r}")
    return Found(tuple(files[path] for path in sorted(files)), tuple(skipped), tuple(folders))


def _citable(name: str) -> str:
    """Return *name* with a question mark for each byte that is not UTF-8; such a file is not read, but reported."""
    return name.encode("utf-8", "replace").decode()


def _walk(folder: Path) -> Iterator[Path]:
    for parent, children, names in os.walk(folder):
        children[:] = sorted(child for child in children if not child.startswith("."))
        for name in sorted(names):
            if not name.startswith((".", "~$")) and (path := Path(parent, name)).is_file():
                yield path
