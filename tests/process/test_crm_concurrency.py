"""The CRM under real processes that start together: exactly N of M win, and nothing is written twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from tasks.crm.audit import Caller
from tasks.crm.database import engine_for
from tasks.crm.desk import serve
from tasks.crm.request import CrmRequest
from tasks.locations import REPOSITORY
from tests.unit.crm.postgres import running_server

PROCESSES = 8

WRITERS = """
import json, os, sys
from salesboost.faults import ToolFault
from tasks.crm.audit import Caller
from tasks.crm.desk import serve
from tasks.crm.request import CrmRequest

url, work = sys.argv[1], json.loads(sys.argv[2])
gate, opener = os.pipe()
children = []
for calls in work:
    child = os.fork()
    if child:
        children.append(child)
        continue
    os.close(opener)
    os.read(gate, 1)
    for call_id, payload in calls:
        try:
            reply = serve(url, CrmRequest.model_validate(payload), Caller("default", "sdr", call_id))
            answer = "replayed" if reply.replayed else "written", reply.record["id"]
        except ToolFault as fault:
            answer = type(fault).__name__, str(fault)
        os.write(1, json.dumps([os.getpid(), *answer]).encode() + b"\\n")
    os._exit(0)
os.close(opener)
sys.exit(any(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children))
"""
"""Forks a process for each list of calls; they begin together when the last end of their gate closes."""

Calls = list[tuple[str, dict[str, Any]]]


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.xdist_group("postgresql"))])
def crm_url(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[str]:
    """Give the URL of a CRM whose schema nobody has created yet."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'crm.sqlite3'}"
        engine_for(f"sqlite:///{tmp_path / 'crm.sqlite3'}").dispose()
        return
    with running_server() as server:
        url = server.url(server.create())
        yield url
        engine_for(url).dispose()


def together(url: str, work: list[Calls]) -> list[tuple[str, str]]:
    """Run each list of calls in a process of its own, all at once; return (kind, id or message) of each."""
    done = subprocess.run(
        [sys.executable, "-c", WRITERS, url, json.dumps(work)],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
        timeout=100,
        check=True,
    )
    return [(kind, text) for _, kind, text in map(json.loads, done.stdout.splitlines())]


def kill_after(lines: int, url: str, calls: Calls) -> None:
    """Run *calls* in a process and kill it with SIGKILL when it has answered some of them."""
    command = [sys.executable, "-c", WRITERS, url, json.dumps([calls])]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        answered = [json.loads(process.stdout.readline()) for _ in range(lines)]
        os.kill(answered[-1][0], signal.SIGKILL)
        process.stdout.read()


def create(customer_id: str | None = None) -> dict[str, Any]:
    return {"action": "create", "customer_id": customer_id, "data": {"company": "Acme"}}


def records(url: str) -> int:
    found, cursor = 0, None
    while True:
        request = CrmRequest(action="list", limit=100, cursor=cursor)
        reply = serve(url, request, Caller("default", "sdr", ""))
        found, cursor = found + len(reply.records), reply.next_cursor
        if cursor is None:
            return found


def test_eight_processes_with_one_tool_call_id_make_one_record(crm_url: str) -> None:
    # When eight processes meet a database without schema and make the same call at once
    answers = together(crm_url, [[("same", create())]] * PROCESSES)

    # Then one wrote, seven got its answer, and there is one record
    assert Counter(kind for kind, _ in answers) == {"written": 1, "replayed": PROCESSES - 1}
    assert len({record_id for _, record_id in answers}) == 1
    assert records(crm_url) == 1


def test_eight_processes_with_their_own_tool_call_ids_make_a_record_each_time(crm_url: str) -> None:
    work: list[Calls] = [[(f"{writer}-{n}", create()) for n in range(10)] for writer in range(PROCESSES)]

    answers = together(crm_url, work)

    assert Counter(kind for kind, _ in answers) == {"written": 80}
    assert records(crm_url) == 80


def test_of_eight_updates_of_one_version_exactly_one_wins(crm_url: str) -> None:
    # Given a customer at version 1
    together(crm_url, [[("first", create("C-1"))]])

    # When eight processes update that version at once
    work: list[Calls] = [
        [(f"call-{n}", {"action": "update", "customer_id": "C-1", "data": {"employees": n, "version": 1}})]
        for n in range(PROCESSES)
    ]
    answers = together(crm_url, work)

    # Then one wins and the others are told of the conflict
    assert Counter(kind for kind, _ in answers) == {"written": 1, "ConflictFault": PROCESSES - 1}


def test_a_writer_that_is_killed_and_started_again_writes_nothing_twice(crm_url: str) -> None:
    # Given a writer of 200 records that is killed in the middle, three times
    calls: Calls = [(f"call-{n}", create()) for n in range(200)]
    for answered in (5, 40, 90):
        kill_after(answered, crm_url, calls)
    assert 90 <= records(crm_url) < 200

    # When it is started again and runs to its end
    answers = together(crm_url, [calls])

    # Then every call was answered and wrote one record
    assert len(answers) == 200
    assert {kind for kind, _ in answers} == {"written", "replayed"}
    assert records(crm_url) == 200
