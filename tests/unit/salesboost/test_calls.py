"""Reading the ledger's replies, and preparing many calls."""

from __future__ import annotations

from typing import Any

import pytest

from salesboost import (
    InputInvalid,
    JobEvent,
    JobNotFound,
    JobState,
    RateLimitError,
    ToolForbidden,
    ToolInfo,
    ToolResult,
    ToolUnavailable,
    calls,
    wire,
)
from salesboost.catalogue import Catalogue
from salesboost.submissions import check_window, prepare, prepare_many


def _record(**fields: str) -> list[bytes]:
    values = {
        "id": "j",
        "tool": "echo",
        "tool_call_id": "k",
        "state": "succeeded",
        "attempts": "2",
        "created": "1000000",
        "started": "1010000",
        "settled": "1500000",
        "run_us": "480000",
        "worker": "host:1",
        "version": "1",
        "result": '{"text":"hi"}',
    } | fields
    return [values.get(name, "").encode() for name in wire.RECORD_FIELDS]


def _submission(**changes: Any) -> wire.Submission:
    options: dict[str, Any] = {"caller_role": "sdr", "tenant": "default", "tool_call_id": "k", **changes}
    return prepare("echo", {"text": "x"}, **options)


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        ([b"queued", b"j"], calls.Accepted("j", JobState.QUEUED)),
        ([b"joined", b"j", b"running"], calls.Accepted("j", JobState.RUNNING)),
        ([b"waiting", b"j", 3, b"2500000"], calls.Accepted("j", JobState.WAITING, 3, 2.5)),
        ([b"waiting", b"j", -1, b"0"], calls.Accepted("j", JobState.WAITING, 0, 0.0)),
    ],
)
def test_a_job_that_was_taken_says_where_it_is(reply: list[Any], outcome: calls.Outcome) -> None:
    # Given the reply of a submit
    # When it is read
    # Then it tells the job and its state
    assert calls.read_submit(reply, _submission()) == outcome


def test_a_refusal_becomes_a_result_that_raises_its_error() -> None:
    # Given a refusal for a limit
    reply = [b"refused", b"TOOL_RATE_LIMITED", b"echo is at its limit", b"1500000"]

    # When it is read
    outcome = calls.read_submit(reply, _submission())

    # Then there is no job, and the error says when to come back
    assert isinstance(outcome, calls.Answered)
    assert (outcome.job_id, outcome.result.audit.status) == ("", "refused")
    with pytest.raises(RateLimitError) as caught:
        calls.raise_refusal(outcome.result)
    assert (caught.value.retry_after, caught.value.retryable, caught.value.tool_call_id) == (1.5, True, "k")


def test_a_job_that_failed_is_no_refusal() -> None:
    # Given the result of a job that failed
    error = '{"code":"TOOL_FAILED","type":"ValueError","message":"no"}'
    result = calls.result_of(wire.record(_record(state="failed", error=error, result="")))

    # When it is looked at for a refusal
    calls.raise_refusal(result)
    calls.raise_refusal(None)

    # Then there is none: its caller gets the result
    assert result.error
    assert result.error.code == "TOOL_FAILED"


def test_a_known_result_is_read_with_its_audit() -> None:
    # Given the reply to a repeated submit
    # When it is read
    outcome = calls.read_submit([b"known", b"j", *_record()], _submission())

    # Then it has the first one's result and times
    assert isinstance(outcome, calls.Answered)
    audit = outcome.result.audit
    assert outcome.result.result == {"text": "hi"}
    assert (audit.queued_ms, audit.run_ms, audit.total_ms, audit.attempts) == (10.0, 480.0, 500.0, 2)


def test_a_job_that_never_began_was_queued_until_it_settled() -> None:
    # Given a record of a job that was cancelled while it waited
    error = '{"code":"TOOL_CANCELLED","type":"CallCancelled","message":"cancelled"}'
    record = wire.record(_record(state="cancelled", started="", run_us="", attempts="0", error=error))

    # When its result is read
    # Then all of its time was waiting
    assert calls.result_of(record).audit.queued_ms == 500.0


def test_what_became_of_many_calls_keeps_their_order() -> None:
    # Given calls that were answered in every way there is
    bad = calls.refused("bad", "b", InputInvalid("no payload"))
    hit = calls.refused("hit", "h", InputInvalid("stands for a cache hit"))
    prepared: list[wire.Submission | ToolResult] = [
        bad,
        _submission(tool_call_id="1"),
        _submission(tool_call_id="2"),
        _submission(tool_call_id="3"),
    ]

    # When they are put together
    taken = calls.taken(prepared, [None, hit, None], [[b"queued", b"j1"], ToolUnavailable("out of memory")])

    # Then each has its own
    assert [
        (one.tool_call_id, one.job_id, one.known and one.known.error and one.known.error.code) for one in taken
    ] == [
        ("b", "", "TOOL_INPUT_INVALID"),
        ("1", "j1", None),
        ("2", "", "TOOL_INPUT_INVALID"),
        ("3", "", "TOOL_UNAVAILABLE"),
    ]


def test_members_of_a_batch_have_their_place_in_it() -> None:
    # Given a refused call and a good one
    prepared = prepare_many(["no call", {"name": "echo", "payload": {}}], "sdr", "default", "wait")

    # When they become members
    members = calls.members(prepared, "b")

    # Then the good one has the place it was given in
    assert isinstance(members[0], ToolResult)
    assert isinstance(members[1], wire.Submission)
    assert (members[1].batch, members[1].index) == ("b", 1)


def test_a_job_that_is_gone_is_told_apart_from_one_that_is_open() -> None:
    # Given replies of `read_job`
    # When they are read for a settled record
    # Then a missing job is empty, an open one is none, and an error is raised
    assert calls.settled_record([]) == {}
    assert calls.settled_record([_record(state="running", settled=""), [], []]) is None
    assert (calls.settled_record([_record(), [], []]) or {})["id"] == "j"
    with pytest.raises(ToolForbidden):
        calls.settled_record(ToolForbidden("no"))
    with pytest.raises(JobNotFound):
        calls.settled_result("j", {})


def test_a_view_of_a_job_has_history_and_outlook() -> None:
    # Given a reply with both
    reply = [_record(state="waiting"), [b"1000000 waiting 0 submitted", b"2000000 queued 0 "], [4, b"30000000"]]

    # When it is read
    view = calls.read_job("j", reply)

    # Then details may hold spaces or nothing
    assert [(event.type, event.at, event.detail) for event in view.history] == [
        ("waiting", 1.0, "submitted"),
        ("queued", 2.0, ""),
    ]
    assert (view.explanation.before, view.explanation.expected_start) == (4, 30.0)


def test_an_event_is_told_once_although_history_and_stream_overlap() -> None:
    # Given events of which two fall on the same microsecond
    first = JobEvent(type="waiting", job_id="j", at=1.0, attempt=0)
    second = JobEvent(type="queued", job_id="j", at=1.0, attempt=0)
    past = calls.Past()

    # When they come again
    told = [*past.news([first]), *past.news([first, second]), *past.news([second])]

    # Then each is told once, in order
    assert told == [first, second]


@pytest.mark.parametrize(("word", "done"), [(b"cancelled", True), (b"requested", True), (b"settled", False)])
def test_cancelling_says_whether_it_did_something(word: bytes, done: bool) -> None:
    # Given the reply of a cancel
    # When it is read
    # Then it says whether the job will run no more
    assert calls.read_cancel("j", [word]) is done


@pytest.mark.parametrize(("window", "argument"), [(None, ""), (1, 1), (500, 500)])
def test_a_window_is_a_number_or_the_fleets_default(window: int | None, argument: int | str) -> None:
    # Given a window
    # When its argument is made
    # Then None leaves it to the fleet
    assert check_window(window) == argument


def test_only_calls_that_may_be_cached_are_looked_up() -> None:
    # Given a catalogue with a cached tool for one role and one without a cache
    catalogue = Catalogue()
    info = ToolInfo(
        name="echo", version="1", description="", input_schema={}, output_schema={}, cache_ttl=5, roles=["sdr"]
    )
    other = info.model_copy(update={"name": "other", "cache_ttl": 0.0})
    stale_at_first = catalogue.stale
    catalogue.update({one.name: one.model_dump_json().encode() for one in (other, info)})

    # When calls are looked up
    submissions = [
        _submission(),
        _submission(caller_role="viewer"),
        prepare("other", {}, caller_role="sdr", tenant="default"),
        prepare("unknown", {}, caller_role="sdr", tenant="default"),
    ]
    keys = catalogue.cache_keys("sb", submissions)

    # Then a role that may not call the tool does not learn what is cached
    assert list(keys) == [0]
    assert (stale_at_first, catalogue.stale) == (True, False)
    assert [one.name for one in catalogue.tools()] == ["echo", "other"]
