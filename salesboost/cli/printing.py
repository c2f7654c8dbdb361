"""What commands print: results to stdout, everything else to stderr."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import orjson
import typer

from salesboost.cli.exits import Exit, of_result

if TYPE_CHECKING:
    from rich.console import Console

    from salesboost.models import ErrorInfo, ToolResult

WIDE = 140
"""Columns of a table that goes to a file or a pipe."""


def complain(
    code: str, message: str, *, as_json: bool, retryable: bool = False, retry_after: float | None = None
) -> None:
    """Say on stderr, in one sentence or as one JSON object, what went wrong."""
    if as_json:
        problem = {"code": code, "message": message, "retryable": retryable, "retry_after": retry_after}
        typer.echo(orjson.dumps({"error": problem}).decode(), err=True)
    else:
        typer.echo(f"error: {' '.join(message.split())}", err=True)


def complain_of(error: ErrorInfo, *, as_json: bool) -> None:
    """Say on stderr why a call has no result."""
    complain(error.code, error.message, as_json=as_json, retryable=error.retryable, retry_after=error.retry_after)


def console() -> Console:
    """Return a console on stdout: colours in a terminal, nothing but text in a pipe or with NO_COLOR."""
    from rich.console import Console

    plain = False if os.environ.get("NO_COLOR") else None
    return Console(width=None if sys.stdout.isatty() else WIDE, highlight=False, force_terminal=plain)


def print_json(value: Any) -> None:
    """Print *value* as one line of JSON."""
    typer.echo(orjson.dumps(value).decode())


def print_result(result: ToolResult, *, as_json: bool) -> Exit:
    """Print a call's result, or why it has none; return the exit code."""
    if as_json:
        typer.echo(result.model_dump_json())
    if result.error:
        complain_of(result.error, as_json=as_json)
        return of_result(result.error.code)
    if not as_json:
        text = orjson.dumps(result.result, option=orjson.OPT_INDENT_2).decode()
        if sys.stdout.isatty():
            console().print_json(text)
        else:
            typer.echo(text)
        typer.echo(_served(result), err=True)
    return Exit.OK


def _served(result: ToolResult) -> str:
    audit = result.audit
    if audit.cached:
        return "from the cache"
    tries = f"{audit.attempts} attempts" if audit.attempts > 1 else "1 attempt"
    return f"{audit.total_ms:.1f} ms, {tries}, job {audit.job_id}"
