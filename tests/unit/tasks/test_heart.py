"""The heart keeps the leases of running attempts, and learns from the ledger what became of them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Literal

import pytest

from salesboost.store import StateStore
from scheduler import library
from scheduler.ledger import Ledger
from tasks.heart import Heart
from tests.unit.scheduler.ledger_bed import Bed
from tests.wait import wait_until
from workers.embedded import EmbeddedServers

LEASE = 0.6


class CountingLedger(Ledger):
    """Counts the round trips of renewals."""

    renewals = 0

    def renew(self, held: Iterable[tuple[str, int]]) -> list[Literal["held", "lost", "cancelled"]]:
        self.renewals += 1
        return super().renew(held)


@pytest.fixture
def ledger(bed: Bed) -> CountingLedger:
    bed.ledger = ledger = CountingLedger(bed.store, lease=LEASE)
    return ledger


@pytest.fixture
def heart(ledger: CountingLedger) -> Heart:
    return Heart(ledger)


def never() -> None:
    raise AssertionError("the hard limit was not reached")


def test_a_lease_is_kept_for_as_long_as_the_attempt_runs(bed: Bed, heart: Heart) -> None:
    # Given an attempt that takes several leases
    job = bed.accepted()
    run = bed.run(job)
    with heart.holding(job, run.attempt, hard_limit=60, on_hard_limit=never) as held:
        until = time.monotonic() + 3 * LEASE
        # When a pump looks all the while, then it never finds the lease lost
        while time.monotonic() < until:
            bed.ledger.advance()
            time.sleep(0.02)
        assert bed.state(job) == "running"
        assert not held.lost
    # And it is kept no longer than that
    wait_until(lambda: bed.advance() and bed.state(job) == "queued", description="the end of the lease")


def test_an_attempt_learns_that_its_job_was_cancelled(bed: Bed, heart: Heart) -> None:
    # Given an attempt
    job = bed.accepted()
    run = bed.run(job)
    with heart.holding(job, run.attempt, hard_limit=60, on_hard_limit=never) as held:
        # When the job is cancelled, then it knows soon
        bed.cancel(job)
        wait_until(lambda: held.cancelled, timeout=5, description="the cancellation")
        assert not held.lost


def test_an_attempt_learns_that_another_holds_its_job(bed: Bed, heart: Heart) -> None:
    # Given an attempt
    job = bed.accepted()
    run = bed.run(job)
    with heart.holding(job, run.attempt, hard_limit=60, on_hard_limit=never) as held:
        # When its job goes to another, then it knows soon
        bed.ledger.abandon(job, "host:1", "killed")
        bed.run(job, "host:2")
        wait_until(lambda: held.lost, timeout=5, description="the loss")
        assert not held.cancelled


def test_care_ends_at_the_hard_limit_and_says_so_once(bed: Bed, heart: Heart) -> None:
    # Given an attempt with a hard limit of 0.2 s
    job = bed.accepted()
    run = bed.run(job)
    ended: list[float] = []
    with heart.holding(job, run.attempt, hard_limit=0.2, on_hard_limit=lambda: ended.append(time.monotonic())) as held:
        # When it goes on, then its lease is dropped, and the job goes to another
        wait_until(lambda: held.lost, timeout=5, description="the end of care")
        wait_until(lambda: bed.advance() and bed.state(job) == "queued", description="the end of the lease")
    assert len(ended) == 1


def test_an_attempt_that_ends_in_time_has_no_hard_limit(bed: Bed, heart: Heart) -> None:
    # Given many attempts that end at about their hard limit
    for n in range(60):
        job = bed.accepted()
        run = bed.run(job)
        over: list[int] = []
        with heart.holding(job, run.attempt, hard_limit=0.004, on_hard_limit=partial(over.append, 1)):
            time.sleep(0.002 + (n % 3) / 1000)
        # Then what was not over when they ended never is
        seen = len(over)
        time.sleep(0.003)
        assert len(over) == seen


def test_many_attempts_are_kept_by_one_round_trip(bed: Bed, ledger: CountingLedger, heart: Heart) -> None:
    # Given thirty attempts of one process
    jobs = [bed.accepted() for _ in range(30)]
    holds = [heart.holding(j, bed.run(j).attempt, hard_limit=60, on_hard_limit=never) for j in jobs]
    for hold in holds:
        hold.__enter__()
    started = time.monotonic()
    # When several leases have passed, then all are held, by some three renewals a lease
    wait_until(lambda: time.monotonic() - started > 2 * LEASE, description="two leases")
    bed.advance()
    assert {bed.state(job) for job in jobs} == {"running"}
    assert ledger.renewals <= 2 * 3 + 3
    for hold in holds:
        hold.__exit__(None, None, None)


@pytest.fixture
def own_servers(tmp_path: Path) -> Iterator[EmbeddedServers]:
    with EmbeddedServers(tmp_path) as servers:
        yield servers


def test_a_heart_survives_a_restart_of_the_server(own_servers: EmbeddedServers) -> None:
    # Given an attempt on a server that is restarted
    store = StateStore(own_servers.state_url, namespace="h", timeout=1)
    library.load(store.redis)
    bed = Bed(own_servers.state_url, "h", lease=LEASE)
    bed.publish("free")
    ledger = CountingLedger(store, lease=LEASE)
    heart = Heart(ledger)
    job = bed.accepted()
    run = bed.run(job)
    with heart.holding(job, run.attempt, hard_limit=60, on_hard_limit=never) as held:
        own_servers.stop()
        own_servers.start()
        # When it is back, then the lease is renewed again, unless the job has gone to another
        count = ledger.renewals
        wait_until(lambda: ledger.renewals > count + 1, timeout=20, description="the next renewal")
        assert not held.lost
        assert bed.state(job) == "running"
    bed.close()
    store.close()
