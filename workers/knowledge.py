"""``python -m workers kb …``, which is also ``salesboost kb …``: what the company's knowledge bases hold."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from salesboost.faults import ToolFault
from tasks.knowledge import catalogue, ingest
from tasks.knowledge.locations import DEFAULT_KB
from tasks.knowledge.search import search as find

cli = typer.Typer(
    help="Knowledge bases: documents that knowledge_retriever searches.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)

Kb = Annotated[str, typer.Option("--kb", metavar="NAME", help="The knowledge base.")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON instead of a table.")]


@cli.command()
def add(
    paths: Annotated[list[Path], typer.Argument(metavar="FOLDER...", help="Folders and files to read.")],
    kb: Kb = DEFAULT_KB,
    as_json: AsJson = False,
) -> None:
    """Read folders; what has not changed is not read again. Exit code 1 when a file could not be read."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("Reading", total=None)
        report = ingest.add(kb, paths, lambda step: bar.update(task, completed=step.done, total=step.total))
    counts = {name: report.count(name) for name in ("added", "changed", "unchanged", "removed", "failed")}
    if as_json:
        typer.echo(json.dumps({"kb": kb, **counts, "failures": report.failures, "skipped": list(report.skipped)}))
    else:
        typer.echo(f"{kb}: {', '.join(f'{count} {name}' for name, count in counts.items())}")
        for source, reason in report.failures.items():
            typer.echo(f"{source}: {reason}", err=True)
    raise typer.Exit(int(bool(report.failures)))


@cli.command("list")
def list_all(as_json: AsJson = False) -> None:
    """List the knowledge bases."""
    found = catalogue.list_kbs()
    if as_json:
        typer.echo(json.dumps([asdict(kb) for kb in found]))
        return
    table = Table("name", "documents", "passages", "by meaning too", "bytes", box=SIMPLE)
    for kb in found:
        table.add_row(kb.name, str(kb.documents), str(kb.chunks), str(kb.embedded), str(kb.size))
    Console().print(table)


@cli.command()
def remove(kb: Annotated[str, typer.Argument(metavar="NAME")]) -> None:
    """Remove a knowledge base."""
    typer.echo(f"{kb}: {catalogue.remove(kb)} documents removed")


@cli.command()
def search(
    query: Annotated[str, typer.Argument(metavar="QUERY")],
    kb: Kb = DEFAULT_KB,
    top_k: Annotated[int, typer.Option("--top-k", min=1, max=20, help="Passages at most.")] = 3,
    as_json: AsJson = False,
) -> None:
    """Show the passages that fit a question best."""
    answer = find(query, kb=kb, top_k=top_k)
    if as_json:
        typer.echo(json.dumps(asdict(answer), default=str))
        return
    for hit in answer.hits:
        typer.echo(f"{hit.score:.3f}  {hit.source}\n       {' '.join(hit.text.split())[:160]}")


def run() -> None:
    """Run the commands; a tool's fault is a sentence, not a traceback."""
    try:
        cli(prog_name="salesboost kb")
    except ToolFault as exc:
        sys.stderr.write(f"error: {exc}\n")
        sys.exit(2)
