"""Brings a knowledge base up to date with folders and files."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from tasks.knowledge import embedder, store, vectors
from tasks.knowledge.chunking import chunk
from tasks.knowledge.connections import writing
from tasks.knowledge.documents import UnreadableDocument
from tasks.knowledge.embedder import Embedder
from tasks.knowledge.locations import kb_file
from tasks.knowledge.readers import read
from tasks.knowledge.sources import SourceFile, find
from tasks.knowledge.store import Document, Stored

MAX_BYTES: Final = 50 * 2**20
"""Bytes of a file at most; a larger one is an export, not a document, and is reported."""

_CHUNKING: Final = "1"
"""Raise it when readers or chunking change: documents are then read again at the next `add`."""

_TRIES: Final = 10

Outcome = Literal["added", "changed", "unchanged", "removed", "failed"]


@dataclass(frozen=True, slots=True)
class Progress:
    """What became of one document.

    Attributes:
        done: Documents dealt with so far.
        total: Documents to deal with.
        source: The document, as it is cited.
        outcome: What became of it.
        reason: Why it failed; empty otherwise.
    """

    done: int
    total: int
    source: str
    outcome: Outcome
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """What an ingestion did.

    Attributes:
        kb: The knowledge base.
        steps: What became of each document.
        skipped: Files of the folders whose type is not read.
        embedded: Whether documents that were read can be found by meaning too.
    """

    kb: str
    steps: tuple[Progress, ...]
    skipped: tuple[str, ...]
    embedded: bool

    def count(self, outcome: Outcome) -> int:
        """Return how many documents had *outcome*."""
        return sum(step.outcome == outcome for step in self.steps)

    @property
    def failures(self) -> dict[str, str]:
        """Why the documents that failed did, by source."""
        return {step.source: step.reason for step in self.steps if step.outcome == "failed"}


def add(
    kb: str,
    paths: Iterable[str | os.PathLike[str]],
    progress: Callable[[Progress], None] | None = None,
    *,
    embed: bool = True,
    model: Embedder | None = None,
) -> Report:
    """Bring *kb* up to date with the folders and files at *paths*; it is made when it is not there.

    What has not changed is not read again, and what has vanished from a folder is removed. Each document is published
    by itself and at once: a search never sees half of one, and what was done before an interruption stays. A file
    that cannot be read is reported; what the index has of an earlier version of it stays. Several processes may add
    to one knowledge base at once.

    Args:
        kb: The knowledge base.
        paths: Folders, with all that is below them, and files.
        progress: Called after each document.
        embed: Embed the documents, when a model is installed, so that they are found by meaning too.
        model: The embedding model; the installed one when None.

    Raises:
        InputFault: A path does not exist, or *kb* is not a name.
        TransientFault: The index could not be written.
    """
    file = kb_file(kb)
    found = find(paths)
    model = (model or embedder.installed()) if embed else None
    steps: list[Progress] = []
    with writing(file) as connection:
        store.begin(connection)
        vanished = _vanished(connection, found.folders)
        total = len(found.files) + len(vanished)

        def report(source: str, outcome: Outcome, reason: str = "") -> None:
            steps.append(Progress(len(steps) + 1, total, source, outcome, reason))
            if progress is not None:
                progress(steps[-1])

        for path, source in vanished.items():
            store.drop(connection, path)
            report(source, "removed")
        for source_file in found.files:
            try:
                outcome = _take(connection, source_file, model)
            except UnicodeEncodeError:
                report(source_file.source, "failed", "the file's name is not UTF-8: rename it")
            except (UnreadableDocument, OSError) as exc:
                report(source_file.source, "failed", str(exc))
            else:
                report(source_file.source, outcome)
    return Report(kb, tuple(steps), found.skipped, model is not None)


def _vanished(connection: sqlite3.Connection, folders: Iterable[Path]) -> dict[Path, str]:
    indexed = {path: source for folder in folders for path, source in store.under(connection, folder).items()}
    return {path: source for path, source in indexed.items() if not path.is_file()}


def _take(connection: sqlite3.Connection, file: SourceFile, model: Embedder | None) -> Outcome:
    for _ in range(_TRIES):
        known = store.stored(connection, file.path)
        data = _bytes(file.path)
        fingerprint = f"{_CHUNKING}:{file.source}:{hashlib.sha256(data).hexdigest()}"
        if known is not None and known.fingerprint == fingerprint and model is None:
            return "unchanged"
        state = Stored(fingerprint, model.model if model is not None else None)
        if known == state:
            return "unchanged"
        if store.publish(connection, _document(file, data, state, model), known):
            return "added" if known is None else "changed"
    raise UnreadableDocument(f"other processes published it {_TRIES} times while it was read: add it again")


def _bytes(path: Path) -> bytes:
    with path.open("rb") as stream:
        data = stream.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise UnreadableDocument(f"the file is larger than {MAX_BYTES // 2**20} MiB")
    return data


def _document(file: SourceFile, data: bytes, state: Stored, model: Embedder | None) -> Document:
    try:
        sections = read(file.path.suffix, data)
    except UnreadableDocument:
        raise
    except Exception as exc:  # the formats' libraries raise anything; a bad file must not end the ingestion
        raise UnreadableDocument(f"{type(exc).__name__}: {exc}") from exc
    title = " ".join(file.path.stem.replace("_", " ").replace("-", " ").split())
    chunks = chunk(sections, title)
    packed = vectors.pack(model.embed([part.passage for part in chunks])) if model is not None else []
    return Document(file.path, file.source, state, chunks, packed)
