"""A knowledge base under real processes: ingestions and searches at once, forks, and kills."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from config.settings import ROOT
from tasks.knowledge.catalogue import list_kbs
from tasks.knowledge.ingest import add
from tasks.knowledge.locations import kb_file
from tasks.knowledge.search import search

DOCUMENTS = 6
SECTIONS = 8
ROUNDS = 4
SEARCHERS = 5
THREADS = 10

INGEST = """
import json, os, sys
from pathlib import Path
from tasks.knowledge.ingest import add

own, shared, documents, sections, rounds = Path(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:])
outcomes = []
for version in range(1, rounds + 1):
    for folder in (own, shared):
        for number in range(documents):
            name = f"{folder.name}{number}"
            text = "".join(
                f"# Part {part}\\n\\n{name} part {part} of version {version} by {own.name}.\\n\\n"
                for part in range(sections)
            )
            draft = folder / f".{name}.{os.getpid()}"
            draft.write_text(text)
            draft.rename(folder / f"{name}.md")
    outcomes += [step.outcome for step in add("default", [own, shared], embed=False).steps]
print(json.dumps(outcomes))
"""
"""Rewrites the documents of its own folder and of the shared one again and again, and adds both each time."""

SEARCH = """
import json, random, sys, threading
from pathlib import Path
from tasks.knowledge.search import search

stop, folders = Path(sys.argv[1]), sys.argv[2].split(",")
threads, documents, sections = map(int, sys.argv[3:])
torn, errors, counts = [], [], []

def run(seed):
    chance = random.Random(seed)
    count = 0
    try:
        while count < 5 or not stop.exists():
            name = f"{chance.choice(folders)}{chance.randrange(documents)}"
            hits = [hit for hit in search(name, top_k=20).hits if hit.source == f"{name}.md"]
            editions = {hit.text.partition(" of ")[2] for hit in hits}
            if len(editions) != 1 or len(hits) != sections:
                torn.append([name, sorted(editions), len(hits)])
            count += 1
    except BaseException as exc:
        errors.append(repr(exc))
    counts.append(count)

running = [threading.Thread(target=run, args=(seed,)) for seed in range(threads)]
for thread in running: thread.start()
for thread in running: thread.join()
print(json.dumps({"torn": torn[:5], "errors": errors, "counts": counts}))
"""
"""Searches in many threads until told to stop; a hit list with parts of two editions of a document is torn."""

FORK = """
import os, sys
from pathlib import Path
from tasks.knowledge.connections import reading
from tasks.knowledge.search import search

file = Path(sys.argv[1])
with reading(file) as before:
    pass
child = os.fork()
if child == 0:
    with reading(file) as inherited:
        alone = inherited is not before
    os._exit(0 if alone and search("apples").hits else 3)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
with reading(file) as after:
    assert after is before
assert search("apples").hits
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Point this process and the ones it starts to a fresh home."""
    monkeypatch.setenv("SALESBOOST_HOME", str(tmp_path / "home"))


def start(script: str, *arguments: object, gate: int = subprocess.DEVNULL) -> subprocess.Popen[str]:
    """Start a process; a script that reads its standard input to the end waits until *gate* is closed."""
    command = [sys.executable, "-W", "error", "-c", script, *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdin=gate, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finished(processes: Sequence[subprocess.Popen[str]]) -> list[Any]:
    """Wait for processes that must end well and return what each printed as JSON."""
    printed: list[Any] = []
    for process in processes:
        out, err = process.communicate(timeout=100)
        assert process.returncode == 0, err
        printed.append(json.loads(out or "null"))
    return printed


def test_two_ingestions_and_fifty_searches_at_once_give_no_error_and_no_torn_result(tmp_path: Path) -> None:
    # Given two folders of their own, one that both ingestions rewrite, and a first edition of each document
    folders = [tmp_path / name for name in ("left", "right", "both")]
    for folder in folders:
        folder.mkdir()
    for own in folders[:2]:
        finished([start(INGEST, own, folders[2], DOCUMENTS, SECTIONS, 1)])

    # When two processes ingest while five processes search, in ten threads each
    stop = tmp_path / "stop"
    names = ",".join(folder.name for folder in folders)
    searchers = [start(SEARCH, stop, names, THREADS, DOCUMENTS, SECTIONS) for _ in range(SEARCHERS)]
    ingesters = [start(INGEST, own, folders[2], DOCUMENTS, SECTIONS, ROUNDS) for own in folders[:2]]
    ingested = finished(ingesters)
    stop.touch()
    searched = finished(searchers)

    # Then no search failed or saw parts of two editions
    assert [found["errors"] for found in searched] == [[]] * SEARCHERS
    assert [found["torn"] for found in searched] == [[]] * SEARCHERS
    assert sum(map(len, (found["counts"] for found in searched))) == SEARCHERS * THREADS

    # And no ingestion failed, and the index is what the folders are
    assert {outcome for outcomes in ingested for outcome in outcomes} <= {"added", "changed", "unchanged"}
    assert {step.outcome for step in add("default", folders, embed=False).steps} == {"unchanged"}
    assert [(kb.documents, kb.chunks) for kb in list_kbs()] == [(3 * DOCUMENTS, 3 * DOCUMENTS * SECTIONS)]


def test_processes_that_make_the_same_knowledge_base_at_once_publish_each_document_once(tmp_path: Path) -> None:
    # Given documents that take a while to read, and no knowledge base
    folder = tmp_path / "documents"
    folder.mkdir()
    text = "".join(f"# Part {part}\n\nApples {part}.\n\n" for part in range(300))
    for number in range(10):
        (folder / f"{number}.md").write_text(text, encoding="utf-8")
    script = (
        "import json, sys; from tasks.knowledge.ingest import add; sys.stdin.read(); "
        "print(json.dumps([step.outcome for step in add('default', sys.argv[1:], embed=False).steps]))"
    )

    # When four processes add them at once
    gate, opener = os.pipe()
    processes = [start(script, folder, gate=gate) for _ in range(4)]
    os.close(gate)
    os.close(opener)
    outcomes = [outcome for printed in finished(processes) for outcome in printed]

    # Then each document was published by exactly one of them
    assert (outcomes.count("added"), outcomes.count("unchanged")) == (10, 30)
    assert [(kb.documents, kb.chunks) for kb in list_kbs()] == [(10, 3000)]


def test_a_forked_worker_opens_its_own_connection(tmp_path: Path) -> None:
    # Given a knowledge base and a process that has searched it
    document = tmp_path / "a.md"
    document.write_text("Apples.", encoding="utf-8")
    add("default", [document], embed=False)

    # Then its fork can search, and so can it itself afterwards
    finished([start(FORK, kb_file("default"))])


def test_an_ingestion_that_is_killed_leaves_whole_documents_and_can_be_done_again(tmp_path: Path) -> None:
    # Given an ingestion that tells its progress
    folder = tmp_path / "documents"
    folder.mkdir()
    total = 300
    for number in range(total):
        parts = "".join(f"# Part {part}\n\nreport{number} part {part}.\n\n" for part in range(SECTIONS))
        (folder / f"report{number}.md").write_text(parts, encoding="utf-8")
    script = (
        "import sys; from tasks.knowledge.ingest import add; "
        "add('default', sys.argv[1:], lambda step: print(step.done, flush=True), embed=False)"
    )

    # When it is killed in the middle
    process = start(script, folder)
    assert process.stdout is not None
    while int(process.stdout.readline()) < 50:
        pass
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=30)

    # Then what is there is whole
    (kb,) = list_kbs()
    assert 50 <= kb.documents < total
    assert kb.chunks == kb.documents * SECTIONS
    assert len(search("report7", top_k=20).hits) in (0, SECTIONS)

    # And the next one does the rest
    report = add("default", [folder], embed=False)
    assert (report.count("unchanged"), report.count("added")) == (kb.documents, total - kb.documents)
