"""The state machine of a job: every step of its table can be made, and no other."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import pytest
import redis

from salesboost.connections import connect
from salesboost.wire import RECORD_FIELDS
from scheduler import library
from scheduler.outcomes import Settled, Settlement, Skip, Stale
from tests.unit.scheduler.journeys import ERROR, INTO, STEPS, publish_all
from tests.unit.scheduler.ledger_bed import FUNCTIONS, SETTLED, STATES, Bed, legal_transitions

FORCE = """
redis.register_function('sbforce_move', function(keys, args)
  local job = sb.load(keys[1], args[1])
  sb.move(keys[1], job, args[2], sb.now(), 'forced')
  return job.state
end)
"""
"""Moves a job by the one function that writes states, without the checks of those that call it."""


@pytest.fixture
def bed(bed: Bed) -> Bed:
    publish_all(bed)
    bed.publish("hourly_writer", limit="1/hour", effect="write")
    return bed


@pytest.fixture(scope="session")
def forcing(state_url: str) -> Iterator[redis.Redis]:
    """A server with a second copy of the library that can force a step."""
    server = connect(state_url, timeout=5)
    text = library.source()[0].replace(f"name={library.LIBRARY}", "name=forcing").replace("'sb1_", "'sbforce_")
    server.function_load(text + FORCE, replace=True)
    yield server
    server.close()


def test_the_journeys_cover_the_table_of_legal_steps() -> None:
    # Given the table of the functions, then there is a journey over each of its steps, and over no other
    assert set(STEPS) == legal_transitions()


@pytest.mark.parametrize(("source", "target"), sorted(STEPS))
def test_a_legal_step_is_made(bed: Bed, source: str, target: str) -> None:
    # Given a ledger, when a job takes the journey
    job = STEPS[source, target](bed)
    # Then its history ends with the step, and the gauges count it where it is
    history = ["new", *bed.history(job)]
    assert (source, target) in set(pairwise(history))
    assert bed.state(job) == history[-1] == target


@pytest.mark.parametrize("source", ["new", *STATES])
def test_every_other_step_is_refused(bed: Bed, forcing: redis.Redis, source: str) -> None:
    # Given a job that is forced to stand in a state
    job = bed.accepted("free")
    key = f"{bed.root}:job:{job}"
    for target in STATES:
        bed.server.hset(key, mapping={"state": source, "seq": 1})
        before = bed.fields(job)
        if (source, target) in legal_transitions():
            # When a legal step is forced, then it is made
            assert forcing.fcall("sbforce_move", 1, bed.root, job, target) == target.encode()
        else:
            # When an illegal one is forced, then it is an error, and nothing has changed
            with pytest.raises(redis.ResponseError, match=f"SBILLEGAL job {job} cannot go from {source} to {target}"):
                forcing.fcall("sbforce_move", 1, bed.root, job, target)
            assert bed.fields(job) == before
    bed.server.delete(key)


@pytest.mark.parametrize("state", STATES)
def test_what_does_not_fit_the_state_is_refused_and_changes_nothing(bed: Bed, state: str) -> None:
    # Given a job in a state
    job = INTO[state](bed)
    attempt = int(bed.fields(job)["attempts"])
    ledger, before = bed.ledger, bed.fields(job)
    # When an attempt that does not hold it acts, then it is told where the job is
    for stale in {attempt - 1, attempt + 1, *([] if state == "running" else [attempt])}:
        for outcome in ("succeeded", "failed", "retry", "cancelled"):
            assert ledger.settle(job, stale, outcome, ERROR) == _late(state, outcome, by_the_last=stale == attempt)
        assert ledger.begin_effect(job, stale, "sms") == Stale(state)
        assert not ledger.end_effect(job, stale, "sms", done=True)
        assert ledger.renew([(job, stale)]) == ["lost"]
        ledger.progress(job, stale, b"{}")
    # And a worker that does not hold it cannot abandon it
    assert ledger.abandon(job, "other:1", "killed") == Stale(state)
    # And a hint is taken back of a queued job only, a claim runs nothing else, replay is for three states
    if state != "queued":
        assert ledger.claim(job, "host:2") == Skip(state)
        assert not ledger.return_hint(job, 1.0)
    if state != "running":
        assert ledger.abandon(job, "host:1", "killed") == Stale(state)
    if state not in ("failed", "dead", "unknown"):
        assert ledger.replay(job) == "refused"
    if state in SETTLED:
        assert bed.cancel(job) == "settled"
        assert bed.fields(job) == before


def _late(state: str, outcome: str, *, by_the_last: bool) -> Settlement:
    """Return the answer to an outcome for a job in *state*: a repeat is told what it was told before."""
    repeats = {"succeeded": "succeeded", "failed": "failed", "retry": "failed"}
    return Settled(state) if by_the_last and repeats.get(outcome) == state else Stale(state)


def test_a_job_that_does_not_exist_is_gone_for_every_function(bed: Bed) -> None:
    # Given no job, when it is acted on, then every function says so
    ledger = bed.ledger
    assert ledger.claim("nope", "host:1") == Skip("gone")
    assert ledger.settle("nope", 1, "succeeded", b"{}") == Stale("gone")
    assert ledger.renew([("nope", 1)]) == ["lost"]
    assert ledger.abandon("nope", "host:1", "killed") == Stale("gone")
    assert ledger.begin_effect("nope", 1, "sms") == Stale("gone")
    assert not ledger.end_effect("nope", 1, "sms", done=True)
    assert not ledger.return_hint("nope", 1.0)
    assert ledger.replay("nope") == "gone"
    assert bed.cancel("nope") == "gone"
    assert bed.store.call("read_job", "nope", "inbox", 1, 1) == []
    assert bed.jobs() == []


def test_the_record_has_the_fields_that_clients_read() -> None:
    # Given the two lists, then they name the same fields in the same order (the client's name for tcid is longer)
    text = (FUNCTIONS / "10_jobs.lua").read_text(encoding="utf-8")
    block = text.partition("sb.RECORD = {")[2].partition("}")[0]
    names = [name.strip().strip("'") for name in block.split(",") if name.strip()]
    assert tuple("tool_call_id" if name == "tcid" else name for name in names) == RECORD_FIELDS
