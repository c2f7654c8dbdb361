"""`@tool` turns typed functions into tools and refuses what is none."""

from __future__ import annotations

from typing import Any, cast

import pytest
from pydantic import BaseModel

from salesboost import InputFault, OutcomeUnknown, Tool, ToolContext, ToolDefinitionError, tool
from salesboost.testing import LocalContext


class Question(BaseModel):
    """What is asked."""

    text: str


class Answer(BaseModel):
    """What is answered."""

    text: str


@tool(name="answer", version="2", roles={"sdr"}, limit="5/second", cache_ttl=1)
def answer(args: Question, ctx: ToolContext) -> Answer:
    """Answer a question."""
    ctx.progress(0.5, "thinking")
    return Answer(text=f"{args.text} for {ctx.caller_role}")


@tool(name="answer_later")
async def answer_later(args: Question, ctx: ToolContext) -> Answer:
    """Answer a question some time."""
    return Answer(text=args.text)


def test_a_tool_knows_what_it_is_and_stays_callable() -> None:
    # Given a decorated function
    # When it is called as what it was
    context = LocalContext(caller_role="sdr")
    reply = cast(Answer, answer(Question(text="42"), context))

    # Then it answers, and knows its name, models and policy
    assert reply.text == "42 for sdr"
    assert context.reported == [(0.5, "thinking")]
    assert (answer.name, answer.version, answer.description) == ("answer", "2", "Answer a question.")
    assert (answer.input_model, answer.output_model) == (Question, Answer)
    assert (answer.policy.roles, answer.policy.limit, answer.is_async) == (frozenset({"sdr"}), "5/second", False)
    assert repr(answer) == "Tool('answer', version='2')"


async def test_a_coroutine_function_is_a_tool_too() -> None:
    # Given a decorated coroutine function
    later: Tool[Question, Answer] = answer_later

    # When it is called
    reply = await cast(Any, later(Question(text="42"), LocalContext()))

    # Then it answers, and runners know that it must be awaited
    assert later.is_async
    assert reply.text == "42"


def _no_docstring(args: Question, ctx: ToolContext) -> Answer:
    return Answer(text="")


def _one_parameter(args: Question) -> Answer:
    """Take too little."""
    return Answer(text="")


def _no_model(args: dict[str, str], ctx: ToolContext) -> Answer:
    """Take what has no schema."""
    return Answer(text="")


def _no_answer(args: Question, ctx: ToolContext) -> None:
    """Return nothing."""


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (_no_docstring, "docstring"),
        (_one_parameter, r"\(args, ctx\)"),
        (_no_model, "parameter 'args'"),
        (_no_answer, "return value"),
    ],
)
def test_a_function_that_is_no_tool_is_refused(function: Any, said: str) -> None:
    # Given a function that lacks something
    # When it is decorated
    # Then the error says what
    with pytest.raises(ToolDefinitionError, match=said):
        tool(name="wrong")(function)


@pytest.mark.parametrize(("options", "said"), [({"name": "Bad Name"}, "Bad Name"), ({"name": "x", "limit": "?"}, "x")])
def test_a_wrong_name_or_policy_is_refused(options: dict[str, Any], said: str) -> None:
    # Given a wrong option
    # When a function is decorated with it
    # Then the error says which
    with pytest.raises(ToolDefinitionError, match=said):
        tool(**options)(answer.function)


def test_a_local_effect_is_done_once_over_attempts() -> None:
    # Given an effect that an attempt has confirmed
    fences: dict[str, Any] = {}
    with LocalContext(fences=fences).effect("sms") as first:
        first.confirm({"id": 7})

    # When another attempt enters it
    with LocalContext(fences=fences, attempt=2).effect("sms") as second:
        pass

    # Then it is told that it is done, under the same key
    assert (second.done, second.receipt) == (True, {"id": 7})
    assert first.idempotency_key == second.idempotency_key


def test_a_local_effect_that_was_never_confirmed_is_unknown() -> None:
    # Given an effect that an attempt began and lost
    fences: dict[str, Any] = {}
    with pytest.raises(ConnectionError), LocalContext(fences=fences).effect():
        raise ConnectionError

    # When another attempt enters it
    # Then nobody knows, and it is not begun again
    with pytest.raises(OutcomeUnknown), LocalContext(fences=fences).effect():
        raise AssertionError


def test_a_local_effect_that_certainly_did_not_happen_may_be_begun_again() -> None:
    # Given an effect that the provider refused
    fences: dict[str, Any] = {}
    with pytest.raises(InputFault), LocalContext(fences=fences).effect():
        raise InputFault("no such number")

    # When another attempt enters it
    with LocalContext(fences=fences).effect() as effect:
        done_before = effect.done

    # Then it begins anew and is confirmed by leaving
    assert (done_before, effect.done) == (False, True)
