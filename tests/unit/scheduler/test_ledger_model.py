"""The ledger against a model: any sequence of calls, losses and waits leaves both in the same state."""

from __future__ import annotations

import uuid
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, cast

import orjson
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from salesboost import calls, wire
from scheduler.outcomes import Begin, Done, Run, Settled, Skip, Stale, Unknown, Wait
from tests.unit.scheduler.journeys import ERROR
from tests.unit.scheduler.ledger_bed import SETTLED, Bed, legal_transitions

# Seconds. Time passes in steps of 300, and nothing is due within 100 of such a step, so that the few seconds which a
# slow machine takes for an example decide nothing.
LEASE = 1000.0
RETRY = 700.0
DEADLINES = (None, None, None, None, 5000.0, 500.0)
STEPS = (300.0, 300.0, 1200.0, 12_000.0)

CRASHES = 3
FAULTS = 3
LIMITED = ("single", "paced")
INTERVAL, BURST = 600.0, 2
LEGAL = legal_transitions()

CALLS = st.tuples(
    st.sampled_from(("free", "writer", "single", "paced")),
    st.sampled_from(DEADLINES),
    st.sampled_from((5, 0, 9)),
    st.sampled_from(("wait", "raise")),
    st.sampled_from((None, None, None, 400.0)),
)
"""Tool, deadline, priority, on_limit, delay."""


@dataclass
class Job:
    """What the model knows of a job; times on the model's clock."""

    id: str
    tool: str
    deadline: float | None
    state: str
    raises: bool
    attempts: int = 0
    lease: float = 0.0
    due: float = 0.0
    cancel: bool = False
    fences: dict[str, str] = field(default_factory=dict)
    faults: int = 0
    spared: int = 0
    replays: int = 0
    starts: list[float] = field(default_factory=list)

    @property
    def is_open(self) -> bool:
        return self.state not in SETTLED

    @property
    def limited(self) -> bool:
        return self.tool in LIMITED

    @property
    def unconfirmed(self) -> bool:
        return self.tool == "writer" and "begun" in self.fences.values()

    def over(self, now: float) -> bool:
        return self.deadline is not None and self.deadline <= now


class LedgerMachine(RuleBasedStateMachine):
    """Drives a real ledger and its model side by side."""

    url = ""

    def __init__(self) -> None:
        super().__init__()
        self.bed = Bed(self.url, f"m{uuid.uuid4().hex[:12]}", lease=LEASE)
        self.bed.publish("free")
        self.bed.publish("writer", effect="write")
        self.bed.publish("single", concurrency=1)
        self.bed.publish("paced", limit="1/10 minutes", burst=BURST)
        self.now = 0.0
        self.jobs: list[Job] = []

    def teardown(self) -> None:
        try:
            forever = self.bed.keys_without_reason_to_stay()
            assert not forever, f"keys with neither a TTL nor a line in 00_keys.lua: {forever}"
        finally:
            keys = self.bed.keys()
            if keys:
                self.bed.server.delete(*keys)
            self.bed.close()

    def any_in(self, *states: str) -> bool:
        return any(job.state in states for job in self.jobs)

    def pick(self, data: st.DataObject, *states: str) -> Job:
        """Draw a job that is in one of *states*, now and then one that is not."""
        of_interest = [job for job in self.jobs if job.state in states]
        anywhere = not of_interest or data.draw(st.sampled_from((False,) * 7 + (True,)))
        return data.draw(st.sampled_from(self.jobs if anywhere else of_interest))

    # --- what producers do

    @initialize(wanted=st.lists(CALLS, min_size=2, max_size=5))
    def begin(self, wanted: list[tuple[str, float | None, int, str, float | None]]) -> None:
        for call in wanted:
            self.take_in(call)

    @rule(call=CALLS)
    def submit(self, call: tuple[str, float | None, int, str, float | None]) -> None:
        self.take_in(call)

    def take_in(self, call: tuple[str, float | None, int, str, float | None]) -> None:
        tool, deadline, priority, on_limit, delay = call
        outcome = self.bed.submit(
            tool, deadline=deadline, priority=priority, on_limit=on_limit, delay=delay, inbox="watch"
        )
        if isinstance(outcome, calls.Answered):
            assert tool in LIMITED
            assert outcome.result.error
            assert outcome.result.error.code == "TOOL_RATE_LIMITED"
            return
        ends = None if deadline is None else self.now + deadline
        job = Job(outcome.job_id, tool, ends, outcome.state, on_limit == "raise")
        if not job.limited:
            assert outcome.state == ("queued" if delay is None else "waiting")
        if delay is not None:
            job.due = self.now + delay
        self.jobs.append(job)

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def submit_again(self, data: st.DataObject) -> None:
        job = self.pick(data, "running")
        known = self.bed.fields(job.id)
        if known.get("refused"):
            return
        again = self.bed.submit(job.tool, tool_call_id=known["tcid"], on_limit="wait")
        match again:
            case calls.Accepted():
                assert (again.job_id, again.state) == (job.id, job.state)
                assert job.is_open
            case calls.Answered():
                assert again.result.audit.status == job.state
                assert again.result.audit.job_id == job.id

    @precondition(lambda self: self.any_in("queued", "running", "waiting", "retrying"))
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        job = self.pick(data, "running")
        answer = self.bed.cancel(job.id)
        if not job.is_open:
            assert answer == "settled"
        elif job.state == "running":
            assert answer == "requested"
            job.cancel = True
        else:
            assert answer == "cancelled"
            job.state = "cancelled"

    # --- what workers do

    @precondition(lambda self: self.any_in("queued"))
    @rule(data=st.data(), worker=st.sampled_from(("host:1", "host:2")))
    def claim(self, data: st.DataObject, worker: str) -> None:
        self.start(data, worker)

    @precondition(lambda self: self.any_in("queued"))
    @rule(data=st.data())
    def claim_more_often(self, data: st.DataObject) -> None:
        self.start(data, "host:1")

    @precondition(lambda self: self.any_in("queued"))
    @rule(data=st.data())
    def claim_most_of_all(self, data: st.DataObject) -> None:
        self.start(data, "host:1")

    @precondition(lambda self: self.any_in("running"))
    @rule(data=st.data(), outcome=st.sampled_from(("retry", "succeeded", "failed")))
    def settle_more_often(self, data: st.DataObject, outcome: Any) -> None:
        self.end(data, outcome, 0)

    def start(self, data: st.DataObject, worker: str) -> None:
        job = self.pick(data, "queued")
        before, expected = job.state, job.state
        claim = self.bed.ledger.claim(job.id, worker)
        if before == "running" and job.lease <= self.now:
            expected = self.rescued(job)
        if expected == "queued" and job.over(self.now):
            expected = "expired"
        if expected == "queued":
            if job.limited and not isinstance(claim, Run):
                assert isinstance(claim, Wait) or (claim == Skip("failed") and job.raises and not job.attempts)
                self.adopt(job)
                return
            assert isinstance(claim, Run)
            assert claim.attempt == job.attempts + 1
            assert claim.faults == job.faults
            job.attempts, job.state, job.lease = claim.attempt, "running", self.now + LEASE
            job.starts.append(self.now)
        else:
            assert claim == Skip(expected)
            job.state = expected

    @precondition(lambda self: self.any_in("running"))
    @rule(
        data=st.data(),
        outcome=st.sampled_from(("succeeded", "failed", "retry", "retry", "expired", "cancelled", "back")),
        late=st.sampled_from((0, 0, 0, 1)),
    )
    def settle(self, data: st.DataObject, outcome: Any, late: int) -> None:
        self.end(data, outcome, late)

    def end(self, data: st.DataObject, outcome: Any, late: int) -> None:
        job = self.pick(data, "running")
        reply = self.bed.ledger.settle(job.id, job.attempts - late, outcome, ERROR, retry_in=RETRY)
        if job.state != "running" or late:
            repeat = {"succeeded": "succeeded", "failed": "failed", "retry": "failed"}
            if not late and repeat.get(outcome) == job.state:
                assert reply == Settled(job.state)
            else:
                assert reply == Stale(job.state)
            return
        if outcome == "succeeded":
            job.state, job.fences = "succeeded", {k: v for k, v in job.fences.items() if v == "done"}
        elif job.unconfirmed:
            job.state = "unknown"
        elif outcome == "back":
            job.spared += 1
            job.state = self.rescued(job)
        elif outcome == "retry":
            job.faults += 1
            if job.cancel:
                job.state = "cancelled"
            elif job.faults < FAULTS and not job.over(self.now + RETRY):
                job.state, job.due = "retrying", self.now + RETRY
            else:
                job.state = "failed"
        else:
            job.state = outcome
        assert reply == Settled(job.state)

    def rescued(self, job: Job) -> str:
        if job.unconfirmed:
            return "unknown"
        if job.cancel:
            return "cancelled"
        if job.over(self.now):
            return "expired"
        return "dead" if job.attempts - job.spared - job.faults >= CRASHES else "queued"

    @precondition(lambda self: self.any_in("running"))
    @rule(data=st.data(), late=st.sampled_from((0, 0, 1)))
    def renew(self, data: st.DataObject, late: int) -> None:
        job = self.pick(data, "running")
        (answer,) = self.bed.ledger.renew([(job.id, job.attempts - late)])
        if job.state != "running" or late:
            assert answer == "lost"
        else:
            assert answer == ("cancelled" if job.cancel else "held")
            job.lease = self.now + LEASE

    @precondition(lambda self: self.any_in("running"))
    @rule(data=st.data(), spare=st.booleans(), stranger=st.sampled_from((False, False, True)))
    def abandon(self, data: st.DataObject, spare: bool, stranger: bool) -> None:
        job = self.pick(data, "running")
        worker = "other:1" if stranger else self.bed.fields(job.id).get("worker", "host:1")
        reply = self.bed.ledger.abandon(job.id, worker, "killed", spare=spare)
        if job.state != "running" or stranger:
            assert reply == Stale(job.state)
            return
        job.spared += spare
        job.state = self.rescued(job)
        assert reply == Settled(job.state)

    @precondition(lambda self: self.any_in("running"))
    @rule(data=st.data(), key=st.sampled_from(("sms", "mail")))
    def begin_effect(self, data: st.DataObject, key: str) -> None:
        job = self.pick(data, "running")
        reply = self.bed.ledger.begin_effect(job.id, job.attempts, key)
        if job.state != "running":
            assert reply == Stale(job.state)
        elif key not in job.fences:
            assert reply == Begin()
            job.fences[key] = "begun"
        elif job.fences[key] == "done":
            assert reply == Done(b'"receipt"')
        else:
            assert reply == (Unknown() if job.tool == "writer" else Begin(again=True))

    @precondition(lambda self: self.any_in("running"))
    @rule(data=st.data(), key=st.sampled_from(("sms", "mail")), done=st.booleans())
    def end_effect(self, data: st.DataObject, key: str, done: bool) -> None:
        job = self.pick(data, "running")
        held = self.bed.ledger.end_effect(job.id, job.attempts, key, done=done, receipt=b'"receipt"')
        assert held == (job.state == "running")
        if held and job.fences.get(key) == "begun":
            if done:
                job.fences[key] = "done"
            else:
                del job.fences[key]

    @precondition(lambda self: self.any_in("queued"))
    @rule(data=st.data())
    def return_hint(self, data: st.DataObject) -> None:
        job = self.pick(data, "queued")
        assert self.bed.ledger.return_hint(job.id, 1.0) == (job.state == "queued")

    @precondition(lambda self: self.any_in("dead", "failed", "unknown"))
    @rule(data=st.data())
    def replay(self, data: st.DataObject) -> None:
        job = self.pick(data, "dead", "failed", "unknown")
        reply = self.bed.ledger.replay(job.id)
        if job.state not in ("dead", "failed", "unknown"):
            assert reply == "refused"
            return
        job.replays += 1
        job.spared, job.faults, job.cancel, job.deadline, job.state = job.attempts, 0, False, None, reply
        assert job.limited or reply == "queued"

    # --- what goes wrong, and time

    @rule(most=st.sampled_from((1, 2, 1000)))
    def lose_hints(self, most: int) -> None:
        for _ in range(most):
            if not self.bed.pop_hint():
                break

    @rule(seconds=st.sampled_from(STEPS))
    def wait(self, seconds: float) -> None:
        self.bed.age(seconds)
        self.now += seconds

    @rule()
    def advance(self) -> None:
        self.bed.advance()
        for job in self.jobs:
            if job.state in ("queued", "waiting", "retrying") and job.over(self.now):
                job.state = "expired"
            elif job.state == "running" and job.lease <= self.now:
                job.state = self.rescued(job)
            elif job.state in ("retrying", "waiting") and job.due <= self.now and not job.limited:
                job.state = "queued"
        hinted = set(self.bed.hints())
        # Whatever was lost: every queued job has its hint again, once it was due.
        due = self.bed.due()
        assert all(job.id in hinted or due[job.id] > 0 for job in self.jobs if job.state == "queued" and job.id in due)

    # --- what always holds

    def adopt(self, job: Job) -> None:
        job.state = self.bed.state(job.id)

    @invariant()
    def both_agree(self) -> None:
        for job in self.jobs:
            fields = self.bed.fields(job.id)
            if job.limited:
                job.state = fields["state"] if job.is_open or job.replays else job.state
            assert fields["state"] == job.state, (job, self.bed.history(job.id))
            assert int(fields["attempts"]) == job.attempts

    @invariant()
    def every_step_was_legal_and_a_job_settled_once(self) -> None:
        for job in self.jobs:
            history = ["new", *self.bed.history(job.id)]
            assert set(pairwise(history)) <= LEGAL, history
            assert history.count("running") == job.attempts
            assert sum(state in SETTLED for state in history) == job.replays + (not job.is_open)

    @invariant()
    def each_settling_was_told_once(self) -> None:
        entries = [orjson.loads(e) for e in self.bed.server.lrange(wire.inbox_key(self.bed.namespace, "watch"), 0, -1)]
        told = Counter(entry[1] for entry in entries)
        assert told == Counter({job.id: n for job in self.jobs if (n := job.replays + (not job.is_open))})

    @invariant()
    def the_gauges_are_the_counts(self) -> None:
        for tool in ("free", "writer", *LIMITED):
            true = Counter(job.state for job in self.jobs if job.tool == tool)
            gauges = {k[2:]: v for k, v in self.bed.stats(tool).items() if k.startswith("n:") and v}
            assert gauges == {s: n for s, n in true.items() if s not in ("succeeded", "failed", "cancelled", "expired")}

    @invariant()
    def exactly_the_open_jobs_are_looked_at(self) -> None:
        due, rooms = self.bed.due(), {job for tool in LIMITED for job in self.bed.room(tool)}
        for job in self.jobs:
            if not job.is_open:
                assert job.id not in due
                assert job.id not in rooms
            elif job.id in rooms:
                assert job.state == "waiting"
                assert (job.id in due) == (job.deadline is not None)
            else:
                assert job.id in due, job
            if job.id in due and job.deadline is not None and job.state != "running":
                assert due[job.id] <= job.deadline - self.now + 1
        assert set(due) <= {job.id for job in self.jobs}
        waiting_tools = {tool for tool in LIMITED if self.bed.room(tool)}
        pumped = {
            wire.text(tool) for tool in cast(list[bytes], self.bed.server.zrange(f"{self.bed.root}:rooms", 0, -1))
        }
        assert waiting_tools <= pumped

    @invariant()
    def limits_hold(self) -> None:
        held = {j.id for j in self.jobs if j.tool == "single" and j.state == "running" and j.lease > self.now}
        assert len(held) <= 1
        running = self.bed.server.zrange(f"{self.bed.root}:running:single", 0, -1, withscores=True)
        slots = cast(list[tuple[bytes, float]], running)
        assert {job.decode() for job, lease in slots if lease / 1e6 > self.bed.now()} == held
        starts = sorted(start for job in self.jobs if job.tool == "paced" for start in job.starts)
        for first in range(len(starts)):
            for last in range(first, len(starts)):
                assert last - first + 1 <= BURST + (starts[last] - starts[first] + 100) // INTERVAL


@pytest.mark.timeout(300)
def test_the_ledger_and_its_model_agree_on_any_sequence(state_url: str) -> None:
    # Given a machine that knows every call, when it makes any of them in any order, then the invariants hold
    LedgerMachine.url = state_url
    run_state_machine_as_test(
        LedgerMachine,
        settings=settings(
            max_examples=40,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
        ),
    )
