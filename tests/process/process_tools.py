"""Tools that end in every way a tool can, for workers under test (``--tools tests.process.process_tools``).

Each appends one line to the file that its payload names when it begins, which is how a test counts executions.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, field_validator

from salesboost import ToolContext, tool
from salesboost.faults import (
    ConflictFault,
    InputFault,
    NotFoundFault,
    PermissionFault,
    ProviderLimited,
    TransientFault,
)

STEP = 0.02
"""Seconds between two looks of a tool that waits."""


class Task(BaseModel):
    """What to do.

    Attributes:
        log: The file that takes a line for each execution.
        how: The way to end.
        seconds: How long to take before.
        until: Attempts before this one fail.
    """

    log: Path | None = None
    how: str = ""
    seconds: float = 0.0
    until: int = 10_000


class Reply(BaseModel):
    """Who did it."""

    attempt: int
    pid: int
    how: str = ""


def begin(task: Task, ctx: ToolContext) -> Reply:
    """Leave a line, so that the execution counts even if it ends badly."""
    if task.log:
        with task.log.open("a") as log:
            log.write(f"{ctx.tool_call_id} {ctx.attempt} {os.getpid()}\n")
    return Reply(attempt=ctx.attempt, pid=os.getpid(), how=task.how)


def pause(seconds: float) -> None:
    """Sleep in bytecode, so that a thread can be interrupted."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(STEP)


@tool(name="note", limit=None, retries=0)
def note(args: Task, ctx: ToolContext) -> Reply:
    """Leave a line and take the time."""
    reply = begin(args, ctx)
    pause(args.seconds)
    return reply


@tool(name="note_async", limit=None, retries=0)
async def note_async(args: Task, ctx: ToolContext) -> Reply:
    """Leave a line and take the time, without blocking."""
    reply = begin(args, ctx)
    await asyncio.sleep(args.seconds)
    return reply


@tool(name="patient", limit=None)
def patient(args: Task, ctx: ToolContext) -> Reply:
    """Wait until nobody wants the result any more."""
    reply = begin(args, ctx)
    while not ctx.cancelled:
        time.sleep(STEP)
    raise TransientFault(f"{reply.how} is not wanted any more")


@tool(name="cached_note", limit=None, retries=0, cache_ttl=60)
def cached_note(args: Task, ctx: ToolContext) -> Reply:
    """Leave a line; repeats are answered from the cache."""
    return begin(args, ctx)


@tool(name="paced", limit="2/minute", retries=0)
def paced(args: Task, ctx: ToolContext) -> Reply:
    """Leave a line, twice a minute."""
    return begin(args, ctx)


@tool(name="closed", limit=None, roles={"manager"})
def closed(args: Task, ctx: ToolContext) -> Reply:
    """Leave a line, for managers only."""
    return begin(args, ctx)


_FAULTS: dict[str, BaseException] = {
    "input": InputFault("the phone number is wrong"),
    "permission": PermissionFault("not your customer"),
    "missing": NotFoundFault("no such customer"),
    "conflict": ConflictFault("changed meanwhile"),
    "transient": TransientFault("the provider is down"),
    "limited": ProviderLimited("too many requests", retry_after=0.2),
    "network": ConnectionResetError("connection reset by peer"),
    "timeout": TimeoutError("no answer"),
    "bug": KeyError("price"),
}


@tool(name="fault", limit=None)
def fault(args: Task, ctx: ToolContext) -> Reply:
    """Fail by a typed fault, or by a bug, in every attempt before `until`."""
    reply = begin(args, ctx)
    if ctx.attempt < args.until:
        raise _FAULTS[args.how]
    return reply


@tool(name="hang", limit=None, retries=0, timeout=1.4, soft_timeout=0.4)
def hang(args: Task, ctx: ToolContext) -> Reply:
    """Run into the time limits."""
    reply = begin(args, ctx)
    if ctx.attempt >= args.until:
        return reply
    match args.how:
        case "sleep":
            time.sleep(30)
        case "loop":
            pause(30)
        case "swallow":
            swallow(30)
        case "swallow briefly":
            swallow(2.2)
        case "native":
            ctypes.CDLL(None).sleep(30)
        case _:
            pass
    return reply


def swallow(seconds: float) -> None:
    """Sleep through everything that is raised."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            pause(0.2)
        except Exception:  # the bad habit under test
            continue


@tool(name="hang_async", limit=None, retries=0, timeout=1.4, soft_timeout=0.4)
async def hang_async(args: Task, ctx: ToolContext) -> Reply:
    """Run into the time limits, in an event loop."""
    reply = begin(args, ctx)
    if ctx.attempt >= args.until:
        return reply
    if args.how == "block":
        pause(30)
    while True:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            if args.how != "swallow":
                raise


class Greedy(BaseModel):
    """Takes all memory when it is read."""

    how: str = ""

    @field_validator("how")
    @classmethod
    def take_all(cls, value: str) -> str:
        """Raise what ends Celery's workers, outside of the tool."""
        raise MemoryError


@tool(name="greedy", limit=None, retries=0)
def greedy(args: Greedy, ctx: ToolContext) -> Reply:
    """Never run."""
    raise AssertionError("the input cannot be read")


def _segfault() -> None:
    ctypes.string_at(0)


_DEATHS: dict[str, Any] = {
    "memory": lambda: _raise(MemoryError()),
    "exit": lambda: sys.exit(1),
    "interrupt": lambda: _raise(KeyboardInterrupt()),
    "generator exit": lambda: _raise(GeneratorExit()),
    "_exit": lambda: os._exit(7),
    "segv": _segfault,
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
}


def _raise(exc: BaseException) -> None:
    raise exc


@tool(name="die", limit=None, retries=0)
def die(args: Task, ctx: ToolContext) -> Reply:
    """Take the process down in every attempt before `until`."""
    reply = begin(args, ctx)
    pause(args.seconds)
    if ctx.attempt < args.until:
        _DEATHS[args.how]()
    return reply


@tool(name="text", limit=None, retries=0)
def text(args: Task, ctx: ToolContext) -> Reply:
    """Send a text, which cannot be taken back."""
    return _send(args, ctx)


@tool(name="text_once", limit=None, retries=2, effect="write")
def text_once(args: Task, ctx: ToolContext) -> Reply:
    """Send a text that must not be sent twice."""
    return _send(args, ctx)


def _send(args: Task, ctx: ToolContext) -> Reply:
    with ctx.effect("sms") as effect:
        if effect.done:
            return Reply(attempt=ctx.attempt, pid=os.getpid(), how=effect.receipt["how"])
        begin(args, ctx)
        if args.how == "die before confirm" and ctx.attempt < args.until:
            os.kill(os.getpid(), signal.SIGKILL)
        effect.confirm({"how": args.how})
    if args.how == "die after confirm" and ctx.attempt < args.until:
        os.kill(os.getpid(), signal.SIGKILL)
    return Reply(attempt=ctx.attempt, pid=os.getpid(), how=args.how)


class Kinds(BaseModel):
    """A value of each JSON kind."""

    kind: Literal["wrong type"] | None = None


@tool(name="wrong_type", limit=None, retries=0)
def wrong_type(args: Kinds, ctx: ToolContext) -> Reply:
    """Return something else than the annotation says."""
    return {"attempt": 1}  # type: ignore[return-value]  # pyright: ignore[reportReturnType]


@tool(name="large", limit=None, retries=0)
def large(args: Task, ctx: ToolContext) -> Reply:
    """Return more than is stored."""
    return Reply(attempt=ctx.attempt, pid=os.getpid(), how="x" * 2_000_000)
