"""``salesboost batch``."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

import orjson
import typer

from salesboost.cli import options
from salesboost.cli.connection import client
from salesboost.cli.exits import Exit
from salesboost.cli.options import OnLimitName
from salesboost.cli.payloads import read_lines

if TYPE_CHECKING:
    from salesboost.client import ToolClient
    from salesboost.handle import JobHandle
    from salesboost.models import ToolResult


def add_to(cli: typer.Typer) -> None:
    """Register the command."""
    cli.command("batch")(batch)


def batch(
    context: typer.Context,
    file: Annotated[str, typer.Argument(metavar="FILE.jsonl|-", help='One {"name": …, "payload": …} a line.')],
    *,
    role: options.Role,
    max_concurrent: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Most calls at a time; the fleet's default when absent.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write results there, not to stdout.")
    ] = None,
    on_limit: options.OnLimit = OnLimitName.WAIT,
    timeout: options.Timeout = None,
    json: options.Json = False,
) -> int:
    """Run many calls; print one JSON result a line, in input order, as soon as all before it are there.

    A line may also carry tool_call_id, priority, deadline and tenant. Exit code 1 when any call failed.

    \b
    Example: salesboost batch calls.jsonl --role sdr -o results.jsonl
    """  # noqa: D301
    specs = read_lines(file)
    began = time.monotonic()
    counts: Counter[str] = Counter()
    with client(context) as tools, _opened(output) as out:
        handles = tools.submit_parallel(
            specs,
            caller_role=role,
            max_concurrent=max_concurrent,
            on_limit="raise" if on_limit is OnLimitName.RAISE else "wait",
        )
        for result in _in_order(tools, handles, timeout):
            out.write(result.model_dump_json() + "\n")
            out.flush()
            counts["succeeded" if result.ok else result.error.code if result.error else ""] += 1
    seconds = time.monotonic() - began
    if json:
        summary: dict[str, Any] = {"calls": len(handles), "outcomes": counts, "seconds": round(seconds, 3)}
        typer.echo(orjson.dumps(summary).decode(), err=True)
    else:
        said = ", ".join(f"{count} {what}" for what, count in counts.most_common())
        typer.echo(f"{len(handles)} calls in {seconds:.1f} s{': ' if said else ''}{said}", err=True)
    return Exit.OK if counts["succeeded"] == len(handles) else Exit.FAILED


@contextmanager
def _opened(output: Path | None) -> Generator[IO[str]]:
    if output is None:
        yield sys.stdout
        return
    try:
        file = output.open("w", encoding="utf-8")
    except OSError as exc:
        raise typer.BadParameter(f"cannot write {output}: {exc.strerror}") from exc
    with file:
        yield file


def _in_order(tools: ToolClient, handles: list[JobHandle], timeout: float | None) -> Iterator[ToolResult]:
    arrived: dict[JobHandle, ToolResult] = {}
    following = iter(handles)
    wanted = next(following, None)
    for handle, result in _with_progress(tools.as_completed(handles, timeout=timeout), len(handles)):
        arrived[handle] = result
        while wanted in arrived:
            yield arrived.pop(wanted)
            wanted = next(following, None)


def _with_progress(
    results: Iterator[tuple[JobHandle, ToolResult]], total: int
) -> Iterator[tuple[JobHandle, ToolResult]]:
    if not sys.stderr.isatty():
        yield from results
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("calls"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[failed]}"))
    failed = 0
    # stdout stays ours: a bar may redraw itself, results must not be touched.
    with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True), redirect_stdout=False) as bar:
        task = bar.add_task("", total=total, failed="")
        for handle, result in results:
            failed += not result.ok
            bar.update(task, advance=1, failed=f"{failed} failed" if failed else "")
            yield handle, result
