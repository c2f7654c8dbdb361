"""Tools that do what a test needs; the stack of `tests/conftest.py` serves them (``--tools tests.fixture_tools``).

What they saw is written to files that the payload names, one short line at a time, so that a test can count it.
"""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

from pydantic import BaseModel, Field

from salesboost import ToolContext, TransientFault, tool
from salesboost.errors import CallCancelled

STEP = 0.02
"""Seconds between two looks of a tool that waits."""


class Words(BaseModel):
    """Something to say, and where to note that it was said."""

    text: str = ""
    times: int = Field(default=1, ge=0, le=1000)
    note: Path | None = None


class Heard(BaseModel):
    """What was heard, and in which call."""

    text: str
    role: str = ""
    tenant: str = ""
    attempt: int = 0
    tool_call_id: str = ""


class Span(BaseModel):
    """How long to take."""

    seconds: float = 0.05
    note: Path | None = None


class Done(BaseModel):
    """Nothing more to say."""

    attempt: int


class Key(BaseModel):
    """The value that a keyed limit counts by."""

    key: str


class Patience(BaseModel):
    """The attempt that succeeds."""

    succeed_at: int = 1
    retry_after: float | None = None


class Size(BaseModel):
    """How many characters to return."""

    characters: int


def write_line(path: Path | None, line: str) -> None:
    """Append a line; short appends of several processes do not mix."""
    if path:
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(handle, f"{line}\n".encode())
        finally:
            os.close(handle)


def _heard(args: Words, ctx: ToolContext) -> Heard:
    write_line(args.note, ctx.tool_call_id)
    return Heard(
        text=args.text * args.times,
        role=ctx.caller_role,
        tenant=ctx.tenant,
        attempt=ctx.attempt,
        tool_call_id=ctx.tool_call_id,
    )


@tool(name="echo", limit=None)
def echo(args: Words, ctx: ToolContext) -> Heard:
    """Say the text again.

    Its second paragraph is for nobody.
    """
    return _heard(args, ctx)


@tool(name="echo_async", limit=None)
async def echo_async(args: Words, ctx: ToolContext) -> Heard:
    """Say the text again, from a coroutine."""
    await asyncio.sleep(0)
    return _heard(args, ctx)


@tool(name="managers_only", limit=None, roles={"manager", "admin"})
def managers_only(args: Words, ctx: ToolContext) -> Heard:
    """Say the text again, to managers."""
    return _heard(args, ctx)


@tool(name="cached", limit=None, cache_ttl=60)
def cached(args: Words, ctx: ToolContext) -> Heard:
    """Say the text again, and remember it for a minute."""
    return _heard(args, ctx)


@tool(name="slow", limit=None)
def slow(args: Span, ctx: ToolContext) -> Done:
    """Take some time, reporting when it starts and ends."""
    write_line(args.note, f"start {time.monotonic()}")
    ctx.progress(0.5, "half way")
    time.sleep(args.seconds)
    write_line(args.note, f"end {time.monotonic()}")
    return Done(attempt=ctx.attempt)


@tool(name="single", limit=None, concurrency=1)
def single(args: Span, ctx: ToolContext) -> Done:
    """Take some time or until cancelled, one call at a time over the whole fleet."""
    return _until_cancelled(args, ctx)


@tool(name="cancellable", limit=None)
def cancellable(args: Span, ctx: ToolContext) -> Done:
    """Take some time or until cancelled."""
    return _until_cancelled(args, ctx)


def _until_cancelled(args: Span, ctx: ToolContext) -> Done:
    write_line(args.note, f"start {time.monotonic()}")
    ends = time.monotonic() + args.seconds
    while time.monotonic() < ends:
        if ctx.cancelled:
            raise CallCancelled("the tool saw that it was cancelled")
        time.sleep(STEP)
    return Done(attempt=ctx.attempt)


@tool(name="flaky", limit=None, retries=3)
def flaky(args: Patience, ctx: ToolContext) -> Done:
    """Fail retryably until the attempt that the caller names."""
    if ctx.attempt < args.succeed_at:
        raise TransientFault(f"attempt {ctx.attempt} was too early", retry_after=args.retry_after)
    return Done(attempt=ctx.attempt)


@tool(name="failing", limit=None)
def failing(args: Words, ctx: ToolContext) -> Heard:
    """Fail for good with the given text."""
    raise ValueError(args.text)


@tool(name="exiting", limit=None)
def exiting(args: Words, ctx: ToolContext) -> Heard:
    """Try to take the worker down."""
    raise SystemExit(args.text)


@tool(name="hasty", limit=None, timeout=5, soft_timeout=0.1, retries=0)
def hasty(args: Span, ctx: ToolContext) -> Done:
    """Take longer than the soft limit of a tenth of a second, if asked to."""
    return _until_cancelled(args, ctx)


@tool(name="big", limit=None)
def big(args: Size, ctx: ToolContext) -> Heard:
    """Return a text of a given size."""
    return Heard(text="x" * args.characters)


@tool(name="rare", limit=None, limit_keys=["1/minute per key"])
def rare(args: Key, ctx: ToolContext) -> Done:
    """Do nothing, once a minute for each key."""
    return Done(attempt=ctx.attempt)


@tool(name="brisk", limit="20/second", burst=1)
def brisk(args: Span, ctx: ToolContext) -> Done:
    """Note the start, twenty times a second."""
    write_line(args.note, f"start {time.monotonic()}")
    return Done(attempt=ctx.attempt)


@tool(name="crawling", limit="1/hour")
def crawling(args: Span, ctx: ToolContext) -> Done:
    """Do nothing, once an hour: its callers wait."""
    return Done(attempt=ctx.attempt)


@tool(name="write_note", limit=None, effect="write")
def write_note(args: Words, ctx: ToolContext) -> Heard:
    """Write the text to a file, once, and confirm it."""
    with ctx.effect() as effect:
        if not effect.done:
            write_line(args.note, args.text)
            effect.confirm({"written": args.text})
    return Heard(text=args.text, attempt=ctx.attempt)


@tool(name="unconfirmed", limit=None, effect="write")
def unconfirmed(args: Words, ctx: ToolContext) -> Heard:
    """Begin an effect and lose sight of it."""
    with ctx.effect():
        write_line(args.note, args.text)
        raise ConnectionResetError("the provider's answer was lost")
