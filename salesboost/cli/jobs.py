"""``salesboost status`` and ``salesboost cancel``."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from salesboost.cli import options
from salesboost.cli.connection import client
from salesboost.cli.exits import Exit, of_result
from salesboost.cli.printing import complain_of, print_json, print_result

if TYPE_CHECKING:
    from salesboost.handle import JobHandle
    from salesboost.models import Explanation, JobEvent, ToolResult


def add_to(cli: typer.Typer) -> None:
    """Register the commands."""
    cli.command("status")(status)
    cli.command("cancel")(cancel)


def status(
    context: typer.Context,
    job: options.Job,
    *,
    history: Annotated[bool, typer.Option("--history", help="Print every change of state so far.")] = False,
    explain: Annotated[bool, typer.Option("--explain", help="Say why it is where it is.")] = False,
    follow: Annotated[bool, typer.Option("--follow", help="Print events as they happen, until it settles.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the result and print it, as `call` does.")] = False,
    timeout: options.Timeout = None,
    json: options.Json = False,
) -> int:
    """Say where a job is. With --wait or --follow the exit code is that of its result.

    \b
    Example: salesboost status 2f1c… --explain
             salesboost status 2f1c… --wait --timeout 30 --json
    """  # noqa: D301
    with client(context) as tools:
        handle = tools.handle(job)
        if follow:
            return _follow(handle, as_json=json)
        if wait:
            return print_result(handle.result(timeout), as_json=json)
        explanation = handle.explain()
        events = handle.history() if history else []
        result = handle.result() if explanation.state.settled else None
    if json:
        _print_as_json(handle, explanation, events, result)
        return Exit.OK
    typer.echo(_sentence(handle, explanation, result, explain=explain))
    for event in events:
        typer.echo(_line(event))
    return Exit.OK


def _follow(handle: JobHandle, *, as_json: bool) -> Exit:
    for event in handle.events():
        typer.echo(event.model_dump_json() if as_json else _line(event))
    error = handle.result().error
    if error is None:
        return Exit.OK
    complain_of(error, as_json=as_json)
    return of_result(error.code)


def _print_as_json(
    handle: JobHandle, explanation: Explanation, events: list[JobEvent], result: ToolResult | None
) -> None:
    shown: dict[str, Any] = {
        "job_id": handle.job_id,
        "tool": handle.tool,
        "tool_call_id": handle.tool_call_id,
        **explanation.model_dump(mode="json"),
        "history": [event.model_dump(mode="json") for event in events],
        "result": result.model_dump(mode="json") if result else None,
    }
    print_json(shown)


def _sentence(handle: JobHandle, explanation: Explanation, result: ToolResult | None, *, explain: bool) -> str:
    state = f"{handle.tool} {explanation.state}"
    if result:
        audit = result.audit
        served = f"{audit.total_ms:.1f} ms ({audit.run_ms:.1f} ms running), attempts: {audit.attempts}"
        worker = f", worker: {audit.worker}" if audit.worker else ""
        return f"{state}: {result.error.code}: {result.error.message}" if result.error else f"{state}: {served}{worker}"
    if not explain:
        return state
    if explanation.before is not None:
        start = explanation.expected_start
        when = f", expected to start in {start:.1f} s" if start is not None else ""
        return f"{state}: {explanation.before} before it in the tool's waiting room{when}"
    if explanation.expected_start is not None:
        return f"{state}: in no room, next look in {explanation.expected_start:.1f} s"
    return f"{state}: it is in no waiting room"


def _line(event: JobEvent) -> str:
    at = datetime.fromtimestamp(event.at, tz=UTC).isoformat(timespec="milliseconds")
    return f"{at}  {event.type:<10} attempt {event.attempt}  {event.detail}".rstrip()


def cancel(context: typer.Context, job: options.Job, json: options.Json = False) -> int:
    """Cancel a job: at once when it waits, at its next heartbeat when it runs.

    Exit code 1 when it had settled before.

    \b
    Example: salesboost cancel 2f1c…
    """  # noqa: D301
    with client(context) as tools:
        handle = tools.handle(job)
        done = handle.cancel()
        state = handle.status()
    if json:
        print_json({"job_id": job, "cancelled": done, "state": state})
    else:
        typer.echo(f"{handle.tool} {state}{': it was asked to stop' if done and not state.settled else ''}")
    return Exit.OK if done else Exit.FAILED
