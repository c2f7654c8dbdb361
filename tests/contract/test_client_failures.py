"""Calls of both clients whose tool fails, hangs, crashes or loses sight of what it did."""

from __future__ import annotations

from pathlib import Path

import pytest

from salesboost import OutcomeUnknown, ToolClient, ToolFailed


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def test_a_tool_that_raises_gives_a_result_with_its_message(client: ToolClient) -> None:
    # Given a tool that raises
    # When it is called
    result = client.call("failing", {"text": "the price book is empty"}, caller_role="sdr")

    # Then the result says why, and unwrap raises it
    assert not result.ok
    assert result.error
    assert (result.error.code, result.error.type, result.error.retryable) == ("TOOL_FAILED", "ValueError", False)
    with pytest.raises(ToolFailed, match="the price book is empty") as caught:
        result.unwrap()
    assert caught.value.tool == "failing"
    assert caught.value.tool_call_id == result.tool_call_id


def test_an_input_that_does_not_fit_names_the_field(client: ToolClient) -> None:
    # Given a payload with a wrong field
    # When it is sent
    result = client.call("echo", {"text": "x", "times": "often"}, caller_role="sdr")

    # Then the error names it, and what was given
    assert result.error
    assert result.error.code == "TOOL_INPUT_INVALID"
    assert "times" in result.error.message
    assert "'often'" in result.error.message


def test_a_retryable_fault_is_tried_again(client: ToolClient) -> None:
    # Given a tool that fails twice
    # When it is called
    result = client.call("flaky", {"succeed_at": 3}, caller_role="sdr")

    # Then the third attempt's result comes back
    assert result.result == {"attempt": 3}
    assert result.audit.attempts == 3


def test_a_fault_that_stays_is_given_up_after_the_last_attempt(client: ToolClient) -> None:
    # Given a tool with three retries that fails for ever
    # When it is called
    result = client.call("flaky", {"succeed_at": 99}, caller_role="sdr")

    # Then the fault of the fourth attempt is the result
    assert result.error
    assert (result.error.code, result.error.type, result.error.retryable) == (
        "TOOL_UNAVAILABLE",
        "TransientFault",
        True,
    )
    assert "attempt 4 was too early" in result.error.message
    assert result.audit.attempts == 4


def test_a_tool_over_its_time_limit_is_interrupted(client: ToolClient) -> None:
    # Given a tool with a soft limit of a tenth of a second
    # When it takes longer
    result = client.call("hasty", {"seconds": 4}, caller_role="sdr")

    # Then it was interrupted
    assert result.error
    assert (result.error.code, result.error.retryable) == ("TOOL_TIMEOUT", True)
    assert result.audit.total_ms < 4000


def test_a_call_whose_deadline_passes_while_it_runs_expires(client: ToolClient) -> None:
    # Given a call with a deadline in a quarter of a second
    # When its tool takes longer
    result = client.call("cancellable", {"seconds": 10}, caller_role="sdr", deadline=0.25)

    # Then it expires, and nobody tries again
    assert result.error
    assert result.error.code == "TOOL_EXPIRED"
    assert result.audit.status == "expired"
    assert result.audit.attempts <= 1


def test_a_tool_that_takes_its_worker_down_is_given_up(client: ToolClient) -> None:
    # Given a tool that ends its process
    # When it is called
    result = client.call("exiting", {"text": "bye"}, caller_role="sdr")

    # Then it was tried as often as a crash is tolerated, and waits for a person
    assert result.error
    assert result.error.code == "TOOL_DEAD"
    assert (result.audit.status, result.audit.attempts) == ("dead", 3)


def test_an_effect_that_was_never_confirmed_is_unknown_and_not_repeated(client: ToolClient, tmp_path: Path) -> None:
    # Given a tool that begins an effect and loses its connection
    payload = {"text": "sms", "note": str(tmp_path / "note")}

    # When it is called
    result = client.call("unconfirmed", payload, caller_role="sdr")

    # Then the outcome is unknown, and it was begun once
    assert result.audit.status == "unknown"
    with pytest.raises(OutcomeUnknown):
        result.unwrap()
    assert _lines(tmp_path / "note") == ["sms"]


def test_an_effect_that_was_confirmed_is_done_once(client: ToolClient, tmp_path: Path) -> None:
    # Given a tool with an effect
    payload = {"text": "dear customer", "note": str(tmp_path / "note")}

    # When its call is repeated
    results = [client.call("write_note", payload, caller_role="sdr", tool_call_id=tmp_path.name) for _ in range(3)]

    # Then the effect was done once
    assert all(result.ok for result in results)
    assert _lines(tmp_path / "note") == ["dear customer"]


def test_a_large_result_arrives_whole_and_one_over_the_bound_is_an_error(client: ToolClient) -> None:
    # Given results of 100 KiB and of 300 KiB, where 256 KiB are stored at most
    # When both are asked for
    large = client.call("big", {"characters": 100 * 1024}, caller_role="sdr")
    too_large = client.call("big", {"characters": 300 * 1024}, caller_role="sdr")

    # Then one arrives, and the other one says how large it was
    assert large.result["text"] == "x" * 100 * 1024
    assert too_large.error
    assert too_large.error.code == "TOOL_RESULT_TOO_LARGE"
    assert "262144" in too_large.error.message
