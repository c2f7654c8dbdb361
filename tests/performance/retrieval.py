"""Measures how well and how fast knowledge bases are searched; a table on standard output.

::

    python -m tests.performance.retrieval --collection DIR [--chunks 10000]

DIR holds the Cranfield 1400 collection: `cran.all.1400`, `cran.qry`, `cranqrel`. Its abstracts go through the whole of
the product: each is written as a Markdown file, added to a knowledge base, and searched for with stock settings. A
document stands where its best chunk stands. The time is taken on a second knowledge base with as many chunks as were
asked for, made of the same abstracts, with random embeddings (the time does not depend on their values).

Judgements run from 1, a complete answer, to 4; queries are numbered by their order. Each query has one document with
the judgement -1, which the collection's notes do not explain. The figures of `--unexplained least`, the default, take
it for the least useful one (gain 1); `best` and `none` take it for the most useful one (4) and for none (0).
"""

from __future__ import annotations

import argparse
import math
import os
import random
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any, get_args

from rich.console import Console
from rich.table import Table

from tasks.knowledge import embedder
from tasks.knowledge.chunking import MAX_CHARS
from tasks.knowledge.embedder import Embedder
from tasks.knowledge.ingest import Progress, add
from tasks.knowledge.search import MAX_TOP_K, Mode, search
from tasks.knowledge.vectors import numpy

UNEXPLAINED = {"least": 1, "best": 4, "none": 0}
_DEPTH = 10


@dataclass(frozen=True, slots=True)
class Collection:
    """Documents by number as (title, text), queries in order, judgements by query, counted from 1."""

    documents: dict[int, tuple[str, str]]
    queries: list[str]
    judgements: dict[int, dict[int, int]]


def read_collection(folder: Path) -> Collection:
    """Read the collection's three files."""

    def records(name: str) -> list[str]:
        return re.split(r"^\.I ", (folder / name).read_text(encoding="latin-1"), flags=re.MULTILINE)[1:]

    def field(record: str, begin: str, end: str) -> str:
        found = re.search(rf"^\.{begin}\n(.*?){end}", record, re.DOTALL | re.MULTILINE)
        return found[1].strip() if found else ""

    documents = {
        int(record.split("\n", 1)[0]): (field(record, "T", r"^\.A"), field(record, "W", r"\Z"))
        for record in records("cran.all.1400")
    }
    judgements: dict[int, dict[int, int]] = {}
    for line in (folder / "cranqrel").read_text(encoding="latin-1").splitlines():
        query, document, judgement = map(int, line.split())
        judgements.setdefault(query, {})[document] = judgement
    return Collection(documents, [field(record, "W", r"\Z") for record in records("cran.qry")], judgements)


def ndcg(ranking: Sequence[int], judgements: dict[int, int], unexplained: int) -> float:
    """Return nDCG@10 with linear gains, 5 − judgement (Järvelin and Kekäläinen, TOIS 20(4), 2002)."""
    gains = {found: 5 - grade if grade > 0 else unexplained for found, grade in judgements.items()}
    ideal = _dcg(sorted(gains.values(), reverse=True)[:_DEPTH])
    return _dcg([gains.get(found, 0) for found in ranking[:_DEPTH]]) / ideal if ideal else 0.0


def _dcg(gains: Sequence[int]) -> float:
    return sum(gain / math.log2(rank + 2) for rank, gain in enumerate(gains))


def write_documents(collection: Collection, folder: Path) -> None:
    """Write each abstract as a Markdown file named by its number."""
    folder.mkdir()
    for number, (title, text) in collection.documents.items():
        heading = " ".join(title.split())
        (folder / f"{number}.md").write_text(f"# {heading}\n\n{text}\n", encoding="utf-8")


def rank(query: str, kb: str, mode: Mode) -> list[int]:
    """Return documents' numbers, best first."""
    hits = search(query, kb=kb, top_k=MAX_TOP_K, mode=mode).hits
    return list(dict.fromkeys(int(Path(hit.source).stem) for hit in hits))


class RandomVectors:
    """Stands in for the model when documents are embedded, so that many can be in a moment."""

    def __init__(self, model: Embedder) -> None:
        self._numpy = numpy()
        self._random = self._numpy.random.default_rng(0)
        self.model = model.model
        self.dimensions = model.dimensions

    def embed(self, texts: Sequence[str]) -> Any:
        """Return random directions."""
        rows = self._random.standard_normal((len(texts), self.dimensions)).astype("float32")
        return rows / self._numpy.linalg.norm(rows, axis=1, keepdims=True)


def write_many(collection: Collection, folder: Path, chunks: int) -> None:
    """Write documents that make *chunks* chunks: the abstracts, again and again, their sentences in random order."""
    chance = random.Random(0)
    abstracts = cycle(
        [[part for part in text.split(" .") if part.strip()] for _, text in collection.documents.values()]
    )
    folder.mkdir()
    for number in range(math.ceil(chunks / 100)):
        parts: list[str] = []
        for at in range(min(100, chunks - 100 * number)):
            sentences = next(abstracts)
            text = " .".join(chance.sample(sentences, len(sentences)))[: MAX_CHARS - 1]
            parts.append(f"## {100 * number + at}\n\n{text}.\n")
        (folder / f"{number}.md").write_text(f"# Report {number}\n\n" + "\n".join(parts), encoding="utf-8")


def times(queries: Sequence[str], kb: str, mode: Mode) -> tuple[list[float], list[float]]:
    """Return the milliseconds of each search, by the clock and of the processor, after a few to warm up."""
    for query in queries[:5]:
        search(query, kb=kb, mode=mode)
    clock: list[float] = []
    processor: list[float] = []
    for query in queries:
        begun = time.perf_counter(), time.process_time()
        search(query, kb=kb, mode=mode)
        clock.append(1000 * (time.perf_counter() - begun[0]))
        processor.append(1000 * (time.process_time() - begun[1]))
    return clock, processor


def _show(step: Progress) -> None:
    if step.done % 100 == 0 or step.done == step.total:
        sys.stderr.write(f"\r{step.done} of {step.total} documents ")
        sys.stderr.flush()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Measure how well and how fast knowledge bases are searched.")
    parser.add_argument("--collection", type=Path, required=True, help="folder with cran.all.1400, cran.qry, cranqrel")
    parser.add_argument("--chunks", type=int, default=10_000, help="chunks that the time is taken with")
    arguments = parser.parse_args()
    collection = read_collection(arguments.collection)
    model = embedder.installed()
    modes: list[Mode] = list(get_args(Mode)) if model is not None else ["lexical"]
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        os.environ["SALESBOOST_HOME"] = str(home / "home")
        write_documents(collection, home / "cranfield")
        begun = time.perf_counter()
        report = add("cranfield", [home / "cranfield"], _show)
        taken = time.perf_counter() - begun
        write_many(collection, home / "many", arguments.chunks)
        add("many", [home / "many"], model=RandomVectors(model) if model is not None else None)

        table = Table(title=f"{report.count('added')} documents added in {taken:.0f} s")
        for column in ("mode", *(f"nDCG@10 ({name})" for name in UNEXPLAINED), "p50 ms", "p95 ms", "p95 CPU ms"):
            table.add_column(column, justify="left" if column == "mode" else "right")
        for mode in modes:
            rankings = [rank(query, "cranfield", mode) for query in collection.queries]
            figures = [
                statistics.mean(
                    ndcg(ranking, collection.judgements.get(number, {}), gain)
                    for number, ranking in enumerate(rankings, start=1)
                )
                for gain in UNEXPLAINED.values()
            ]
            clock, processor = (statistics.quantiles(taken, n=20) for taken in times(collection.queries, "many", mode))
            cells = (
                *(f"{figure:.3f}" for figure in figures),
                *(f"{ms:.1f}" for ms in (clock[9], clock[18], processor[18])),
            )
            table.add_row(mode, *cells)
        Console(width=110).print(table)
    if model is None:
        print("dense and hybrid are not measured: the optional packages are not installed")


if __name__ == "__main__":
    main()
