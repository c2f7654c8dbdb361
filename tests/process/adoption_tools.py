"""Tools for the tests of adoption and of round trips (``--tools tests.process.adoption_tools``)."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from salesboost import ToolContext, tool


class Numbers(BaseModel):
    """What to add up, and where to note that it was."""

    model_config = ConfigDict(extra="forbid")

    number: int
    more: int = 0
    note: Path | None = None
    seconds: float = Field(default=0.0, ge=0, le=30)


class Number(BaseModel):
    """A sum; it is the input of a next call too."""

    number: int


class Asked(BaseModel):
    """Who asked."""

    role: str
    tenant: str
    attempt: int


class Nothing(BaseModel):
    """No input."""


def note(path: Path | None, line: str) -> None:
    """Append a line; short appends of several processes do not mix."""
    if path:
        with path.open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")


def sum_up(args: Numbers, ctx: ToolContext) -> Number:
    """Note the call, take the time asked for, and add up."""
    note(args.note, ctx.tool_call_id)
    time.sleep(args.seconds)
    return Number(number=args.number + args.more)


def caller(ctx: ToolContext) -> Asked:
    """Return what the context says of the caller."""
    return Asked(role=ctx.caller_role, tenant=ctx.tenant, attempt=ctx.attempt)


@tool(name="add", limit=None)
def add(args: Numbers, ctx: ToolContext) -> Number:
    """Add up two numbers."""
    return sum_up(args, ctx)


@tool(name="who", limit=None)
def who(args: Nothing, ctx: ToolContext) -> Asked:
    """Say who asked."""
    return caller(ctx)


@tool(name="guarded", limit=None, roles={"manager", "admin"})
def guarded(args: Nothing, ctx: ToolContext) -> Asked:
    """Say who asked, to managers."""
    return caller(ctx)


@tool(name="broken", limit=None)
def broken(args: Nothing, ctx: ToolContext) -> Asked:
    """Fail for good."""
    raise LookupError("the shelf is empty")


@tool(name="seldom", limit="1/day")
def seldom(args: Numbers, ctx: ToolContext) -> Number:
    """Add up once a day; further calls wait."""
    return sum_up(args, ctx)


@tool(name="fatal", limit=None)
def fatal(args: Numbers, ctx: ToolContext) -> Asked:
    """Take its process down until the attempt that *number* names."""
    note(args.note, str(os.getpid()))
    if ctx.attempt < args.number:
        os.kill(os.getpid(), signal.SIGKILL)
    return caller(ctx)


@tool(name="act", limit=None, effect="write")
def act(args: Numbers, ctx: ToolContext) -> Number:
    """Do *number* things that cannot be taken back."""
    for count in range(args.number):
        with ctx.effect(f"deed-{count}"):
            pass
    return Number(number=args.number)


@tool(name="remembered", limit=None, cache_ttl=60)
def remembered(args: Numbers, ctx: ToolContext) -> Number:
    """Add up two numbers, and remember the sum for a minute."""
    return sum_up(args, ctx)
