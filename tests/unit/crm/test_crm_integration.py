"""The tool itself, as an agent meets it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from salesboost.faults import InputFault, PermissionFault
from salesboost.testing import LocalContext
from tasks.crm.database import engine_for
from tasks.crm.reply import CrmReply
from tasks.locations import REPOSITORY, crm_url
from tasks.tools.crm_integration import crm_integration, probe


@pytest.fixture(autouse=True)
def _own_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.delenv("SALESBOOST_CRM_URL", raising=False)
    monkeypatch.setenv("SALESBOOST_HOME", str(tmp_path))
    yield
    engine_for(crm_url()).dispose()


def call(payload: dict[str, Any], context: LocalContext) -> CrmReply:
    reply = crm_integration(crm_integration.input_model.model_validate(payload), context)
    assert isinstance(reply, CrmReply)
    return reply


def test_a_write_is_fenced_and_confirmed_with_a_small_receipt() -> None:
    context = LocalContext(caller_role="sdr")

    reply = call({"action": "create", "customer_id": "C-1", "data": {"company": "Acme"}}, context)

    assert reply.changed
    assert context.fences == {"crm-write": ("done", {"entity": "customer", "id": "C-1", "version": 1})}


def test_a_second_attempt_of_the_same_job_gets_the_first_answer() -> None:
    payload = {"action": "create", "data": {"company": "Acme"}}
    first = LocalContext(caller_role="sdr")
    second = LocalContext(caller_role="sdr", attempt=2, fences=first.fences)

    assert call(payload, first).record == call(payload, second).record


def test_a_refused_write_leaves_no_fence() -> None:
    context = LocalContext(caller_role="sdr")

    with pytest.raises(InputFault):
        call({"action": "create", "data": {"colour": "red"}}, context)

    assert context.fences == {}


def test_a_read_passes_no_fence_and_readers_may_not_write() -> None:
    context = LocalContext(caller_role="coach")

    call({"action": "list"}, context)
    with pytest.raises(PermissionFault):
        call({"action": "create", "data": {"company": "Acme"}}, context)

    assert context.fences == {}


def test_the_database_lies_in_the_home_directory(tmp_path: Path) -> None:
    probe()

    assert (tmp_path / "crm.sqlite3").exists()


def test_the_policy_is_the_one_agreed() -> None:
    policy = crm_integration.policy

    assert (policy.limit, policy.timeout, policy.effect) == ("5/minute", 30, "idempotent")
    assert policy.roles == {"sdr", "session_director", "system", "admin", "coach", "compliance"}


def test_importing_the_tool_does_not_import_sqlalchemy() -> None:
    code = "import sys, tasks.tools.crm_integration; sys.exit('sqlalchemy' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=False).returncode == 0
