"""Plain Celery producers, who know nothing of us: their messages become jobs, and Celery's answers are ours."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
import pytest
import redis

from config.settings import Settings
from salesboost import JobHandle, JobState, ToolClient, wire
from salesboost.models import ToolInfo
from salesboost.policy import ToolPolicy
from scheduler import fleet
from tests.wait import wait_until
from workers.stack import Stack

pytestmark = pytest.mark.xdist_group("adoption")

PRODUCER = """
import json, sys
from datetime import datetime, timedelta, timezone
from celery import Celery, chain, chord, group, signature
app = Celery(broker=sys.argv[1], backend=sys.argv[1])
for line in sys.stdin:
    try:
        answer = {"value": eval(json.loads(line))}
    except Exception as exc:
        answer = {"error": type(exc).__name__, "message": str(exc)}
    assert "salesboost" not in sys.modules
    print(json.dumps(answer), flush=True)
"""
"""Evaluates one expression a line. It has Celery and nothing of ours."""


ELSEWHERE = ToolInfo(
    name="elsewhere",
    version="1",
    description="",
    input_schema={},
    output_schema={},
    roles=[],
    limit=None,
    limit_keys=[],
    effect="read",
    timeout=1.0,
    cache_ttl=0.0,
    queue="default",
)
"""A tool that no worker serves."""


class CeleryError(Exception):
    """What an expression raised in the producer.

    Attributes:
        kind: The name of the exception's class.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(f"{kind}: {message}")
        self.kind = kind


@dataclass
class Producer:
    """A process with a Celery application that imports only Celery."""

    process: subprocess.Popen[str]

    def run(self, expression: str) -> Any:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(expression) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        if "error" in answer:
            raise CeleryError(answer["error"], answer["message"])
        return answer["value"]


@contextmanager
def a_producer(url: str, folder: Path) -> Generator[Producer]:
    with subprocess.Popen(
        [sys.executable, "-c", PRODUCER, url], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield Producer(process)
        finally:
            process.kill()


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One worker with two processes and servers of its own: the queue of plain producers belongs to a server."""
    home = tmp_path_factory.mktemp("adoption")
    with Stack(
        Settings(home=home, lease=1.5, soft_shutdown=1),
        workers=1,
        concurrency=2,
        tool_modules=["tests.process.adoption_tools"],
        beat=False,
        environment={"SALESBOOST_LEASE": "1.5", "SALESBOOST_SOFT_SHUTDOWN": "1"},
    ) as running:
        yield running


@pytest.fixture(autouse=True)
def _no_message_ends_the_worker(stack: Stack) -> Iterator[None]:
    before = stack.process("worker-1").pid
    yield
    assert stack.process("worker-1").poll() is None
    assert stack.process("worker-1").pid == before


@pytest.fixture(scope="module")
def producer(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Producer]:
    with a_producer(stack.state_url, tmp_path_factory.mktemp("producer")) as running:
        yield running


@pytest.fixture(scope="module")
def client(stack: Stack) -> Iterator[ToolClient]:
    with ToolClient(stack.state_url) as running:
        yield running


@pytest.fixture(scope="module")
def server(stack: Stack) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(stack.state_url) as running:
        yield running


def job_of(client: ToolClient, tool: str, task_id: str) -> JobHandle:
    """Return the job that a plain message became, once a worker has adopted it."""
    job_id = wire.job_id(wire.DEFAULT_TENANT, tool, task_id)
    wait_until(
        lambda: client._state.redis.exists(f"{wire.root('sb')}:job:{job_id}"),
        timeout=30,
        description=f"adoption of {task_id}",
    )
    return client.handle(job_id)


def lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines()) if path.exists() else 0


def test_a_plain_call_gets_the_tools_result(producer: Producer) -> None:
    # When a producer that knows only Celery calls a tool
    got = producer.run("app.send_task('tools.add', kwargs={'number': 2, 'more': 40}).get(timeout=30)")
    # Then it gets the result as Celery gives it
    assert got == {"number": 42}


def test_an_object_as_the_only_argument_is_a_payload_too(producer: Producer) -> None:
    got = producer.run("app.send_task('tools.add', args=[{'number': 2}], kwargs={'more': 1}).get(timeout=30)")
    assert got == {"number": 3}


def test_a_product_tool_answers_a_plain_call(producer: Producer) -> None:
    got = producer.run(
        "app.send_task('tools.price_calculator', kwargs={'items': [{'unit_price': '19.99', 'quantity': 3}]})"
        ".get(timeout=30)"
    )
    assert got["totals"]["total"] == "59.97"


def test_an_adopted_call_is_a_job_of_the_ledger_with_the_least_role(producer: Producer, client: ToolClient) -> None:
    # Given a plain call
    task_id = str(uuid4())
    # When it is done
    got = producer.run(f"app.send_task('tools.who', task_id={task_id!r}).get(timeout=30)")
    # Then the tool saw the least role, and the ledger shows the job with it and with its history
    job = job_of(client, "who", task_id)
    assert got == {"role": "viewer", "tenant": "default", "attempt": 1}
    assert client._read(job.job_id).record["role"] == "viewer"
    assert [event.type for event in job.history()] == ["queued", "running", "succeeded"]
    assert job.result(timeout=5).result == got


def test_a_failing_tool_raises_in_get(producer: Producer) -> None:
    with pytest.raises(CeleryError, match="the shelf is empty") as failed:
        producer.run("app.send_task('tools.broken').get(timeout=30)")
    assert failed.value.kind == "ToolFailed"


def test_a_tool_that_the_least_role_may_not_call_raises_in_get(producer: Producer, client: ToolClient) -> None:
    # When a plain producer calls what managers may
    task_id = str(uuid4())
    with pytest.raises(CeleryError, match="role viewer may not call guarded") as refused:
        producer.run(f"app.send_task('tools.guarded', task_id={task_id!r}).get(timeout=30)")
    # Then it is told so, and nothing was stored
    assert refused.value.kind == "ToolForbidden"
    assert not client._state.redis.exists(f"{wire.root('sb')}:job:{wire.job_id('default', 'guarded', task_id)}")


def test_a_role_that_the_message_claims_is_not_believed(producer: Producer) -> None:
    with pytest.raises(CeleryError, match="role viewer may not call guarded"):
        producer.run(
            "app.send_task('tools.guarded', headers={'role': 'admin', 'caller_role': 'admin'}).get(timeout=30)"
        )


@pytest.mark.parametrize("call", ["'tools.nowhere'", "'tools.nowhere', args=[1, 2]", "'nowhere.at_all'"])
def test_an_unknown_tool_is_not_registered(producer: Producer, call: str) -> None:
    with pytest.raises(CeleryError) as refused:
        producer.run(f"app.send_task({call}).get(timeout=30)")
    assert refused.value.kind == "NotRegistered"


def test_a_wrong_payload_names_the_field(producer: Producer) -> None:
    with pytest.raises(CeleryError, match="number") as refused:
        producer.run("app.send_task('tools.add', kwargs={'number': 'many'}).get(timeout=30)")
    assert refused.value.kind == "InputInvalid"


@pytest.mark.parametrize("args", ["[2, 40]", "['2']", "[[1, 2]]"])
def test_positional_arguments_are_refused_with_the_remedy(producer: Producer, args: str) -> None:
    with pytest.raises(CeleryError, match="add takes its payload as keyword arguments") as refused:
        producer.run(f"app.send_task('tools.add', args={args}).get(timeout=30)")
    assert refused.value.kind == "InputInvalid"


def test_a_payload_over_the_bound_is_refused(producer: Producer) -> None:
    with pytest.raises(CeleryError, match="bytes of JSON, at most 65536") as refused:
        producer.run("app.send_task('tools.add', kwargs={'number': 1, 'note': 'x' * 70000}).get(timeout=30)")
    assert refused.value.kind == "PayloadTooLarge"


@pytest.mark.parametrize(
    "when", ["countdown=5", "eta=datetime.now(timezone.utc) + timedelta(seconds=5)"], ids=["countdown", "eta"]
)
def test_a_delayed_call_stands_in_the_ledger_and_in_no_worker(
    producer: Producer, client: ToolClient, server: redis.Redis, when: str
) -> None:
    # Given a call that is to start later
    task_id, sent = str(uuid4()), time.time()
    producer.run(f"app.send_task('tools.add', kwargs={{'number': 1}}, task_id={task_id!r}, {when}).id")
    # When a worker has received it
    job = job_of(client, "add", task_id)
    # Then it waits in the ledger, no hint of it is on its way, and no worker has it in its memory
    assert job.status() is JobState.WAITING
    assert server.hget(f"{wire.root('sb')}:job:{job.job_id}", "mark") is None
    # And it runs when its time has come
    assert producer.run(f"app.AsyncResult({task_id!r}).get(timeout=30)") == {"number": 1}
    assert next(event.at for event in job.history() if event.type == "running") >= sent + 5


def test_a_worker_holds_no_delayed_call(producer: Producer, client: ToolClient) -> None:
    # Given a call that is to start in an hour and was adopted
    task_id = str(uuid4())
    producer.run(f"app.send_task('tools.add', kwargs={{'number': 1}}, task_id={task_id!r}, countdown=3600).id")
    job = job_of(client, "add", task_id)
    # When Celery's worker is asked what it holds
    ask = "app.control.inspect(timeout=20, limit=1)"  # the first answer ends the wait
    held = producer.run(f"[{ask}.scheduled(), {ask}.reserved()]")
    # Then there is nothing
    assert [list(answer.values()) for answer in held] == [[[]], [[]]]
    assert job.cancel()


@pytest.mark.parametrize("expires", ["0.4", "datetime.now(timezone.utc) + timedelta(seconds=0.4)"])
def test_expires_becomes_the_deadline(producer: Producer, client: ToolClient, expires: str) -> None:
    # When a call expires before it may start
    task_id = str(uuid4())
    call = f"app.send_task('tools.add', kwargs={{'number': 1}}, task_id={task_id!r}, countdown=60, expires={expires})"
    with pytest.raises(CeleryError, match=r"deadline of call .* passed") as expired:
        producer.run(f"{call}.get(timeout=30)")
    # Then the job has expired, and its producer was told
    assert expired.value.kind == "CallExpired"
    assert job_of(client, "add", task_id).status() is JobState.EXPIRED


def test_a_call_that_cannot_start_before_it_expires_is_refused_at_once(producer: Producer) -> None:
    # Given a tool whose one call a day is used up
    producer.run("app.send_task('tools.seldom', kwargs={'number': 1}).get(timeout=30)")
    # When another one expires today
    with pytest.raises(CeleryError, match="seldom is at its limit") as refused:
        producer.run("app.send_task('tools.seldom', kwargs={'number': 1}, expires=60).get(timeout=30)")
    # Then its producer need not wait for that
    assert refused.value.kind == "RateLimitError"


def test_a_plain_producer_is_told_when_its_call_is_cancelled(producer: Producer, client: ToolClient) -> None:
    # Given an adopted call that waits
    task_id = str(uuid4())
    producer.run(f"app.send_task('tools.add', kwargs={{'number': 1}}, task_id={task_id!r}, countdown=60).id")
    job = job_of(client, "add", task_id)
    # When somebody cancels it
    assert job.cancel()
    # Then get() raises
    with pytest.raises(CeleryError, match="was cancelled by its caller") as cancelled:
        producer.run(f"app.AsyncResult({task_id!r}).get(timeout=30)")
    assert cancelled.value.kind == "CallCancelled"


def test_a_plain_call_outlives_the_process_that_ran_it(producer: Producer, tmp_path: Path) -> None:
    # Given a tool that takes its process down in its first attempt
    note = tmp_path / "attempts"
    call = f"app.send_task('tools.fatal', kwargs={{'number': 2, 'note': {str(note)!r}}})"
    # When a plain producer calls it
    got = producer.run(f"{call}.get(timeout=30)")
    # Then it gets the result of the second attempt, and was not told of the first
    assert got["attempt"] == 2
    assert lines(note) == 2


def test_a_plain_producer_is_told_when_its_call_is_dead(producer: Producer, tmp_path: Path) -> None:
    # Given a tool that takes its process down whenever it runs
    note = tmp_path / "attempts"
    call = f"app.send_task('tools.fatal', kwargs={{'number': 99, 'note': {str(note)!r}}})"
    # When a plain producer calls it
    with pytest.raises(CeleryError, match="took its worker down 3 times") as dead:
        producer.run(f"{call}.get(timeout=30)")
    # Then it is told after the last attempt
    assert dead.value.kind == "CallDead"
    assert lines(note) == 3


def test_a_group_gives_all_results_in_order(producer: Producer) -> None:
    got = producer.run(
        "group(signature('tools.add', kwargs={'number': n}) for n in range(5)).apply_async().get(timeout=30)"
    )
    assert got == [{"number": n} for n in range(5)]


def test_a_chain_hands_each_result_on(producer: Producer) -> None:
    got = producer.run(
        "chain(signature('tools.add', kwargs={'number': 1}), signature('tools.add', kwargs={'more': 2}), "
        "signature('tools.add', kwargs={'more': 3})).apply_async().get(timeout=30)"
    )
    assert got == {"number": 6}


def test_a_chord_calls_back_once(producer: Producer, tmp_path: Path) -> None:
    # Given a callback that notes each run
    note = tmp_path / "callbacks"
    # When a chord of several calls is through
    got = producer.run(
        "chord([signature('tools.add', kwargs={'number': n}) for n in range(6)], "
        f"signature('tools.add', kwargs={{'number': 7, 'note': {str(note)!r}}}, immutable=True)).apply_async()"
        ".get(timeout=30)"
    )
    # Then its callback ran once
    assert got == {"number": 7}
    assert lines(note) == 1


def test_a_callback_that_would_take_all_results_is_told_why_it_cannot(producer: Producer) -> None:
    # When a chord hands its list of results to a tool, which takes an object
    with pytest.raises(CeleryError, match="add takes its payload as keyword arguments") as refused:
        producer.run(
            "chord([signature('tools.add', kwargs={'number': 1})], signature('tools.add')).apply_async()"
            ".get(timeout=30)"
        )
    # Then its producer is told, and need not wait for nothing
    assert refused.value.kind == "InputInvalid"


@pytest.mark.parametrize("member", ["tools.broken", "tools.guarded"], ids=["failing", "forbidden"])
def test_a_chord_with_a_bad_member_fails_and_does_not_call_back(
    producer: Producer, tmp_path: Path, member: str
) -> None:
    # Given a chord one of whose members fails or is refused
    note = tmp_path / "callbacks"
    # When it is run
    with pytest.raises(CeleryError) as failed:
        producer.run(
            f"app.AsyncResult(chord([signature('tools.add', kwargs={{'number': 1}}), signature({member!r})], "
            f"signature('tools.add', kwargs={{'number': 7, 'note': {str(note)!r}}}, immutable=True)).apply_async().id)"
            ".get(timeout=30)"
        )
    # Then the chord fails for its producer, and the callback did not run
    assert failed.value.kind == "ChordError"
    assert lines(note) == 0


def test_a_link_is_called_once_with_the_result(producer: Producer, tmp_path: Path) -> None:
    # Given a callback that takes the result as its payload
    note = tmp_path / "callbacks"
    link = f"signature('tools.add', kwargs={{'more': 1, 'note': {str(note)!r}}})"
    # When the call that it is linked to succeeds
    producer.run(f"app.send_task('tools.add', kwargs={{'number': 1}}, link={link}).get(timeout=30)")
    # Then it runs, and once
    wait_until(lambda: lines(note) == 1, timeout=30, description="the callback's run")
    producer.run("app.send_task('tools.who').get(timeout=30)")
    assert lines(note) == 1


def test_a_message_that_comes_twice_is_one_job(producer: Producer, client: ToolClient, tmp_path: Path) -> None:
    # Given a task id that a producer sends again, as it may after a lost connection
    note, task_id = tmp_path / "runs", str(uuid4())
    call = f"app.send_task('tools.add', kwargs={{'number': 1, 'note': {str(note)!r}}}, task_id={task_id!r})"
    # When both messages were received
    producer.run(f"[{call}.id, {call}.id, {call}.get(timeout=30)]")
    producer.run("app.send_task('tools.who').get(timeout=30)")
    # Then the tool ran once
    assert job_of(client, "add", task_id).status() is JobState.SUCCEEDED
    assert lines(note) == 1


def test_a_producer_that_ignores_results_leaves_none(
    producer: Producer, client: ToolClient, server: redis.Redis, tmp_path: Path
) -> None:
    # Given producers that do not want results
    note, done, refused = tmp_path / "runs", str(uuid4()), str(uuid4())
    payload = f"kwargs={{'number': 1, 'note': {str(note)!r}}}"
    # When one's call runs and another's is refused
    producer.run(f"app.send_task('tools.guarded', ignore_result=True, task_id={refused!r}).id")
    producer.run(f"app.send_task('tools.add', {payload}, ignore_result=True, task_id={done!r}).id")
    assert job_of(client, "add", done).result(timeout=30).ok
    # Then Celery's result back end holds neither
    producer.run("app.send_task('tools.who').get(timeout=30)")
    assert lines(note) == 1
    assert server.exists(f"celery-task-meta-{done}", f"celery-task-meta-{refused}") == 0


def test_a_tool_of_another_worker_is_adopted_too(producer: Producer, client: ToolClient, server: redis.Redis) -> None:
    # Given a tool that the ledger knows and this worker does not, as in a rolling deploy
    fleet.publish(server, [(ELSEWHERE, ToolPolicy(limit=None))], Settings())
    try:
        # When plain producers call it, one of them wrongly
        task_id = str(uuid4())
        producer.run(f"app.send_task('tools.elsewhere', kwargs={{'number': 1}}, task_id={task_id!r}).id")
        with pytest.raises(CeleryError, match="takes its payload as keyword arguments"):
            producer.run("app.send_task('tools.elsewhere', args=[1, 2]).get(timeout=30)")
        # Then the right call stands in the ledger for a worker that knows the tool
        job = job_of(client, "elsewhere", task_id)
        assert job.status() in {JobState.QUEUED, JobState.WAITING}
        assert job.cancel()
    finally:
        server.hdel(wire.catalogue_key("sb"), "elsewhere")


def test_a_call_survives_a_ledger_that_was_emptied(producer: Producer, server: redis.Redis) -> None:
    # Given a state server that has forgotten everything
    server.flushall()
    server.function_flush()
    # When a plain producer calls a tool that the worker serves, and one that nobody does
    calls = "app.send_task('tools.nowhere'), app.send_task('tools.add', kwargs={'number': 5})"
    nowhere, add = producer.run(f"[sent.id for sent in ({calls})]")
    # Then the calls are kept until the worker has published its tools again
    assert producer.run(f"app.AsyncResult({add!r}).get(timeout=30)") == {"number": 5}
    with pytest.raises(CeleryError) as refused:
        producer.run(f"app.AsyncResult({nowhere!r}).get(timeout=30)")
    assert refused.value.kind == "NotRegistered"


def test_a_call_survives_a_ledger_without_memory(
    stack: Stack, producer: Producer, client: ToolClient, server: redis.Redis
) -> None:
    # Given a message that a worker meets when the state server has no memory left
    task_id, worker = str(uuid4()), psutil.Process(stack.process("worker-1").pid)
    maxmemory = str(server.config_get("maxmemory")["maxmemory"])
    worker.suspend()
    try:
        producer.run(f"app.send_task('tools.add', kwargs={{'number': 6}}, task_id={task_id!r}).id")
        server.config_set("maxmemory", "1mb")
        worker.resume()
        wait_until(lambda: said(stack, "adoption_postponed", "out of memory"), timeout=30, description="postponement")
    finally:
        worker.resume()
        server.config_set("maxmemory", maxmemory)
    # When there is memory again
    got = producer.run(f"app.AsyncResult({task_id!r}).get(timeout=30)")
    # Then the call runs
    assert got == {"number": 6}


def said(stack: Stack, *words: str) -> bool:
    """Say whether a line of the worker's log has all *words*."""
    log = (stack.logs / "worker-1.log").read_text(encoding="utf-8", errors="replace")
    return any(all(word in line for word in words) for line in log.splitlines())


def foreign(*, body: Any = '[[],{"number":1},{}]', task: str = "tools.add", **headers: Any) -> dict[str, Any]:
    """Return a message as Celery sends it, with other headers."""
    return {
        "body": body,
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": {"task": task, "id": str(uuid4()), "lang": "py", "ignore_result": True, **headers},
        "properties": {"delivery_tag": str(uuid4()), "delivery_info": {"exchange": "", "routing_key": "celery"}},
    }


UNREADABLE: dict[str, dict[str, Any]] = {
    "a body that is no JSON": foreign(body="{{{"),
    "a body that is no list": foreign(body="7"),
    "a body of two": foreign(body="[[],{}]"),
    "no payload": foreign(body="[null,null,null]"),
    "a body of numbers": foreign(body="[1,2,3]"),
    "an embed that is no object": foreign(body='[[],{"number":"x"},[7]]'),
    "error callbacks that are none": foreign(body='[[],{"number":"x"},{"errbacks":7}]', task="tools.guarded"),
    "a chord that is none": foreign(body='[[],{"number":"x"},{"chord":7}]', task="tools.guarded"),
    "a bare eta": foreign(eta="tomorrow"),
    "a numeric eta": foreign(eta=7e300),
    "an expiry in another shape": foreign(expires={"at": 7}),
    "an id with a lone surrogate": foreign(id="\ud800"),
    "an id with NUL": foreign(id="a\0b"),
    "an unknown tool with a broken body": foreign(task="tools.nowhere", body="{{{"),
    "an unknown tool with a broken id": foreign(task="tools.nowhere", id="\ud800"),
    "a foreign task with a broken body": foreign(task="nowhere.at_all", body="{{{"),
    "a hint whose body is no JSON": foreign(salesboost=1, body="{{{"),
    "a hint whose body is a number": foreign(salesboost=1, body="7"),
    "a hint of two": foreign(salesboost=1, body="[[],{}]"),
    "a hint without a job": foreign(salesboost=1, body="[[],{},{}]"),
    "a hint of no job": foreign(salesboost=1, body='[["nowhere"],{},{}]'),
    "a hint of an object": foreign(salesboost=1, body='[[{"a":1}],{},{}]'),
    "a hint with an embed that is none": foreign(salesboost=1, body='[["nowhere"],{},7]'),
    "a hint with a time limit that is none": foreign(salesboost=1, timelimit=[1]),
    "a hint with a bare eta": foreign(salesboost=1, eta="tomorrow"),
    "a hint for an unknown tool without a job": foreign(salesboost=1, task="tools.nowhere", body="[[],{},{}]"),
    "a hint for an unknown tool with a broken body": foreign(salesboost=1, task="tools.nowhere", body="{{{"),
    "a hint with an object as arguments": foreign(salesboost=1, body='[{"0":"nowhere"},{},{}]'),
    "a hint that retries for ever": foreign(salesboost=1, retries="many", body='[["nowhere"],{},{}]'),
    "an encoding that there is none of": foreign() | {"content-encoding": "klingon"},
    "a body in base64 that is none": {
        **foreign(body="%%%"),
        "properties": {"delivery_tag": "1", "delivery_info": {}, "body_encoding": "base64"},
    },
    "a body in an encoding that there is none of": {
        **foreign(),
        "properties": {"delivery_tag": "2", "delivery_info": {}, "body_encoding": "klingon"},
    },
}


@pytest.mark.parametrize("queue", [wire.PLAIN_QUEUE, wire.queue_key("sb", "default")])
def test_no_message_that_cannot_be_read_ends_the_worker(
    producer: Producer, server: redis.Redis, stack: Stack, queue: str
) -> None:
    # Given a queue with messages that no honest producer sends
    server.lpush(queue, *(json.dumps(message) for message in UNREADABLE.values()))
    # When the worker has met all of them
    wait_until(lambda: server.llen(queue) == 0, timeout=30, description="an empty queue")
    # Then it still serves honest calls
    assert producer.run("app.send_task('tools.add', kwargs={'number': 8}).get(timeout=30)") == {"number": 8}
    assert stack.process("worker-1").poll() is None
