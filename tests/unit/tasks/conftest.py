"""Fixtures: the ledger of one test, as in `tests/unit/scheduler`."""

from tests.unit.scheduler.conftest import bed, state_url

__all__ = ["bed", "state_url"]
