"""A write that is repeated under its tool_call_id is answered, not done again."""

from __future__ import annotations

import pytest

from salesboost.faults import ConflictFault, InputFault
from tests.unit.crm.conftest import Ask


def test_a_repeated_create_makes_one_record_and_gives_the_same_answer(ask: Ask) -> None:
    first = ask("create", data={"company": "Acme"}, call="same")
    again = ask("create", data={"company": "Acme"}, call="same")

    assert (first.replayed, again.replayed) == (False, True)
    assert again.record == first.record
    assert len(ask("list").records) == 1


def test_a_repeated_update_is_answered_as_it_was_then(ask: Ask) -> None:
    # Given an update at version 1, and another caller's after it
    ask("create", data={"company": "Acme"}, customer_id="C-1")
    first = ask("update", customer_id="C-1", data={"employees": 5, "version": 1}, call="same")
    ask("update", customer_id="C-1", data={"employees": 6})

    # When the first is repeated
    again = ask("update", customer_id="C-1", data={"employees": 5, "version": 1}, call="same")

    # Then it is no conflict, gives the first answer, and does not undo the second
    assert again.record == first.record
    current = ask("read", customer_id="C-1").record
    assert current is not None
    assert current["employees"] == 6


def test_a_tool_call_id_is_good_for_one_write(ask: Ask) -> None:
    ask("create", data={"company": "Acme"}, call="same")

    with pytest.raises(ConflictFault, match="tool_call_id 'same' has already written something else"):
        ask("create", data={"company": "Other"}, call="same")


def test_tenants_have_their_own_tool_call_ids(ask: Ask) -> None:
    ask("create", data={"company": "Acme"}, call="same", tenant="north")

    assert not ask("create", data={"company": "Other"}, call="same", tenant="south").replayed


def test_a_write_that_failed_can_be_repeated(ask: Ask) -> None:
    # Given a call that was refused because its customer was missing
    payload = {"entity": "deal", "customer_id": "C-1", "data": {"name": "Tags"}}
    with pytest.raises(InputFault):
        ask("create", call="same", **payload)

    # When the customer is there and the same call comes again, then it writes
    ask("create", data={"company": "Acme"}, customer_id="C-1")
    assert not ask("create", call="same", **payload).replayed
