"""Creating, reading and updating records."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from salesboost.faults import ConflictFault, InputFault, NotFoundFault, PermissionFault
from tasks.crm.audit import audit_trail
from tasks.crm.database import reading
from tasks.crm.request import CrmRequest
from tests.unit.crm.conftest import Ask

ACME = {"company": "Acme Dairy", "email": "ann@acme.example", "employees": 40, "currency": "EUR"}


def test_a_created_customer_can_be_read(ask: Ask) -> None:
    # Given a new customer
    created = ask("create", data=ACME, customer_id="C-1")
    assert created.changed

    # When it is read
    record = ask("read", customer_id="C-1", role="coach").record

    # Then it is what was written, at version 1
    assert record == created.record
    assert record is not None
    assert record["version"] == 1
    assert record["company"] == "Acme Dairy"
    assert record["lifecycle_stage"] == "lead"


def test_an_id_is_made_when_none_is_given(ask: Ask) -> None:
    first, second = ask("create", data=ACME).record, ask("create", data=ACME).record

    assert first is not None
    assert second is not None
    assert str(first["id"]).startswith("C-")
    assert first["id"] != second["id"]


def test_an_update_changes_the_named_fields_and_raises_the_version(ask: Ask) -> None:
    ask("create", data=ACME, customer_id="C-1")

    record = ask("update", customer_id="C-1", data={"employees": 55, "email": None}).record

    assert record is not None
    assert (record["employees"], record["email"], record["company"], record["version"]) == (55, None, "Acme Dairy", 2)


def test_an_update_that_changes_nothing_leaves_no_trace(ask: Ask, crm_url: str) -> None:
    ask("create", data=ACME, customer_id="C-1")

    reply = ask("update", customer_id="C-1", data={"employees": 40})

    assert not reply.changed
    assert reply.record is not None
    assert reply.record["version"] == 1
    with reading(crm_url) as session:
        assert len(audit_trail(session, "default", "customer", "C-1")) == 1


@pytest.mark.parametrize("place", ["data", "expected_version"])
def test_an_update_of_what_somebody_changed_meanwhile_is_refused(ask: Ask, place: str) -> None:
    # Given a customer that two callers read at version 1, and the first one's update
    ask("create", data=ACME, customer_id="C-1")
    ask("update", customer_id="C-1", data={"employees": 41, "version": 1})

    # When the second one updates, then it is told so
    payload: dict[str, Any] = {"data": {"employees": 42}}
    if place == "data":
        payload["data"]["version"] = 1
    else:
        payload["expected_version"] = 1
    with pytest.raises(ConflictFault, match="is at version 2, not 1: somebody changed it since you read it"):
        ask("update", customer_id="C-1", **payload)


def test_amounts_and_moments_come_back_as_they_went_in(ask: Ask) -> None:
    ask("create", data=ACME, customer_id="C-1")
    amount = "123456789012.345678"

    deal = ask(
        "create",
        entity="deal",
        customer_id="C-1",
        data={"name": "Tags", "amount": amount, "currency": "KWD", "discount_rate": 0.1},
    ).record
    interaction = ask(
        "create",
        entity="interaction",
        customer_id="C-1",
        data={
            "channel": "email",
            "direction": "inbound",
            "text": "naïve – \U0001f600",
            "occurred_at": "2026-01-02T03:04:05+02:00",
        },
    ).record

    assert deal is not None
    assert interaction is not None
    assert (deal["amount"], deal["discount_rate"]) == (amount, "0.1")
    assert (interaction["occurred_at"], interaction["text"]) == ("2026-01-02T01:04:05Z", "naïve – \U0001f600")


def test_a_deals_status_and_closing_day_follow_from_its_stage(ask: Ask) -> None:
    # Given an open deal
    ask("create", data=ACME, customer_id="C-1")
    ask("create", entity="deal", record_id="D-1", customer_id="C-1", data={"name": "Tags", "stage": "closing"})

    # When it is won, then reopened
    won = ask("update", entity="deal", record_id="D-1", data={"stage": "closed_won"}).record
    reopened = ask("update", entity="deal", record_id="D-1", data={"stage": "negotiation"}).record

    # Then status and day follow
    assert won is not None
    assert reopened is not None
    assert (won["status"], won["closed_at"]) == ("won", datetime.now(UTC).date().isoformat())
    assert (reopened["status"], reopened["closed_at"]) == ("open", None)


def test_a_changed_consent_is_dated(ask: Ask) -> None:
    ask("create", data={**ACME, "sms_consent": True, "consent_updated_at": "2025-01-01"}, customer_id="C-1")

    kept = ask("update", customer_id="C-1", data={"employees": 41}).record
    withdrawn = ask("update", customer_id="C-1", data={"sms_consent": False}).record

    assert kept is not None
    assert withdrawn is not None
    assert kept["consent_updated_at"] == "2025-01-01"
    assert withdrawn["consent_updated_at"] == datetime.now(UTC).date().isoformat()


def test_the_audit_trail_says_who_changed_what(ask: Ask, crm_url: str) -> None:
    ask("create", data=ACME, customer_id="C-1", role="sdr", call="first")
    ask("update", customer_id="C-1", data={"employees": 50}, role="admin", call="second")

    with reading(crm_url) as session:
        created, updated = audit_trail(session, "default", "customer", "C-1")

        assert (created.role, created.tool_call_id, created.action, created.before) == (
            "sdr",
            "first",
            "create",
            None,
        )
        assert updated.before is not None
        assert (updated.role, updated.tool_call_id) == ("admin", "second")
        assert (updated.before["employees"], updated.after["employees"]) == (40, 50)


def test_tenants_do_not_see_each_other(ask: Ask) -> None:
    ask("create", data=ACME, customer_id="C-1", tenant="north")
    ask("create", data={"company": "Other"}, customer_id="C-1", tenant="south")

    north = ask("read", customer_id="C-1", tenant="north").record
    assert north is not None
    assert north["company"] == "Acme Dairy"
    assert [record["company"] for record in ask("list", tenant="south").records] == ["Other"]
    assert ask("search", query="acme", tenant="south").records == []
    with pytest.raises(NotFoundFault, match="there is no customer 'C-1'"):
        ask("read", customer_id="C-1", tenant="west")


@pytest.mark.parametrize("role", ["coach", "compliance"])
def test_readers_may_not_write(ask: Ask, role: str) -> None:
    with pytest.raises(PermissionFault, match=f"role '{role}' may not create in the CRM; these may: admin, sdr"):
        ask("create", data=ACME, role=role)
    assert ask("list", role=role).records == []


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "data.company is required"),
        ({"company": "A", "colour": "red"}, "data.colour is not a field of customer .* company, contact_name"),
        ({"company": "A", "segment": "huge"}, "data.segment: .*'smb', 'mid_market' or 'enterprise', got 'huge'"),
        ({"company": "A", "employees": "many"}, "data.employees: .* got 'many'"),
        ({"company": "A", "sms_consent": 1}, "data.sms_consent: .* got '1'"),
        ({"company": "A", "phone": "12345"}, "data.phone: .* got '12345'"),
        ({"company": "A", "currency": "ZZZ"}, "data.currency: must be an ISO 4217 currency code .*'ZZZ'"),
        ({"company": "A\x00B"}, "data.company: must not contain the character NUL"),
        ({"company": "A", "version": 1}, "data.version is the version you read"),
    ],
)
def test_a_wrong_field_is_named_with_value_and_remedy(ask: Ask, data: dict[str, Any], message: str) -> None:
    with pytest.raises(InputFault, match=message):
        ask("create", data=data)


@pytest.mark.parametrize(
    ("entity", "data", "message"),
    [
        ("deal", {"name": "x"}, "data.customer_id is required"),
        ("deal", {"name": "x", "customer_id": "C-9"}, "data.customer_id: there is no customer 'C-9'"),
        ("deal", {"name": "x", "customer_id": "C-1", "amount": 1}, "amount needs a currency"),
        ("deal", {"name": "x", "customer_id": "C-1", "amount": -1}, "data.amount: must be from 0"),
        ("deal", {"name": "x", "customer_id": "C-1", "closed_at": "2026-01-01"}, "closed_at must be null"),
        ("deal", {"name": "x", "customer_id": "C-1", "status": "won"}, "data.status is not a field of deal"),
        (
            "interaction",
            {"customer_id": "C-1", "channel": "sms", "direction": "outbound", "text": "x", "deal_id": "D-9"},
            "data.deal_id: there is no deal 'D-9'",
        ),
        (
            "interaction",
            {"customer_id": "C-1", "channel": "sms", "direction": "outbound", "text": "x", "deal_id": "D-2"},
            "data.deal_id: deal 'D-2' is not one of customer 'C-1'",
        ),
        ("product", {"name": "x"}, "entity product can only be read here"),
    ],
)
def test_records_that_contradict_others_are_refused(ask: Ask, entity: str, data: dict[str, Any], message: str) -> None:
    ask("create", data=ACME, customer_id="C-1")
    ask("create", data=ACME, customer_id="C-2")
    ask("create", entity="deal", record_id="D-2", customer_id="C-2", data={"name": "Tags"})

    with pytest.raises(InputFault, match=message):
        ask("create", entity=entity, data=data)


def test_an_id_that_is_taken_is_refused(ask: Ask) -> None:
    ask("create", data=ACME, customer_id="C-1")

    with pytest.raises(ConflictFault, match="customer 'C-1' exists already"):
        ask("create", data=ACME, customer_id="C-1")


def test_what_does_not_exist_cannot_be_read_or_updated(ask: Ask) -> None:
    for action, payload in (("read", {}), ("update", {"data": {"employees": 1}})):
        with pytest.raises(NotFoundFault, match="there is no customer 'C-9'"):
            ask(action, customer_id="C-9", **payload)


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        ({"action": "delete"}, "'read', 'update', 'create', 'list' or 'search'"),
        ({"action": "read"}, "read of a customer needs customer_id"),
        ({"action": "read", "entity": "deal", "customer_id": "C-1"}, "read of a deal needs record_id"),
        ({"action": "update", "customer_id": "C-1"}, "update needs data"),
        ({"action": "search"}, "search needs query"),
        ({"action": "list", "limit": 101}, "less than or equal to 100"),
        ({"action": "list", "limit": 0}, "greater than or equal to 1"),
        ({"action": "list", "limit": True}, "valid integer"),
        ({"action": "list", "query": "x"}, "list takes no query"),
        ({"action": "read", "customer_id": "../etc"}, "customer_id"),
        ({"action": "read", "customer_id": "C-1", "record_id": "C-2"}, "name two customers"),
        ({"action": "list", "order_by": "id"}, "order_by"),
    ],
)
def test_a_request_that_fits_no_action_is_refused_by_the_schema(payload: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        CrmRequest.model_validate(payload)
