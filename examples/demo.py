"""``make demo``: a working day of a sales team's agents, through the whole stack, before your eyes.

Starts two embedded servers, two worker processes and beat, loads the shipped CRM records and documents, lets a producer
process submit a few hundred tool calls, shows what becomes of them, and stops everything.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from rich.box import SIMPLE
from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

from config import settings as settings_module
from salesboost import ToolClient
from salesboost.statistics import ToolStatistics
from tasks.crm.transfer import import_directory
from tasks.knowledge.ingest import add
from tasks.knowledge.locations import DEFAULT_KB
from tasks.locations import crm_url
from workers.stack import Stack

EXAMPLES = Path(__file__).resolve().parent
HOME = EXAMPLES.parent / "var"
ENVIRONMENT = {
    "SALESBOOST_HOME": str(HOME),
    "SALESBOOST_TOOLS_FILE": str(EXAMPLES / "demo_tools.toml"),
    "SALESBOOST_DATA_DIR": str(EXAMPLES / "data"),
    "SALESBOOST_LOG_FORMAT": "console",
}
REFRESH = 0.2
"""Seconds between two looks at the statistics."""

COLUMNS = ("submitted", "waiting", "running", "succeeded", "failed", "cached")
TOOLS = ("price_calculator", "crm_integration", "knowledge_retriever")


def main() -> int:
    """Run the demo and return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=360, help="tool calls to make")
    parser.add_argument("--seed", type=int, default=7, help="seed of the working day")
    options = parser.parse_args()
    os.environ.update(ENVIRONMENT)
    console = Console(width=None if sys.stdout.isatty() else 110)
    began = time.monotonic()
    load_data(console)
    console.print("Starting two servers, two workers and beat …")
    with Stack(settings_module.load(), workers=2, concurrency=2) as stack:
        console.print(f"Ready. {options.calls} calls by a producer process, at limits of calls a second:")
        results = HOME / "results.jsonl"
        with ToolClient(stack.state_url, cache_url=stack.cache_url) as client, results.open("w") as out:
            before = client.statistics()
            code = produce(console, client, before, stack.environment(), options=options, out=out)
            after = client.statistics()
        console.print("Stopping …")
    if code:
        console.print(f"The producer ended with exit code {code}", style="red")
        return code
    answered, failed = show_results(console, results)
    console.print(
        f"{answered} of {options.calls} calls answered, {failed} without a result, "
        f"{sum(after[t].cached - before[t].cached for t in TOOLS)} from the cache, "
        f"{time.monotonic() - began:.1f} s in all."
    )
    console.print(
        "\nWhere to look next:\n"
        "  var/results.jsonl    every call with its typed result\n"
        "  var/logs/            what the workers logged\n"
        "  make up              the whole stack on the same data; then try .venv/bin/salesboost --help",
        markup=False,
    )
    return 0 if answered == options.calls and not failed else 1


def load_data(console: Console) -> None:
    """Load the CRM's records and the documents; what has not changed is not read again."""
    HOME.mkdir(parents=True, exist_ok=True)
    files = import_directory(crm_url(), EXAMPLES / "data")
    created, unchanged = sum(file.created for file in files), sum(file.unchanged for file in files)
    console.print(f"CRM: {created} records loaded, {unchanged} were there already")
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("Reading documents", total=None)
        report = add(
            DEFAULT_KB,
            [EXAMPLES / "documents"],
            progress=lambda step: progress.update(task, completed=step.done, total=step.total),
        )
    read, kept = report.count("added") + report.count("changed"), report.count("unchanged")
    console.print(f"Knowledge base: {read} documents read, {kept} unchanged, {len(report.failures)} unreadable")


def produce(
    console: Console,
    client: ToolClient,
    before: Mapping[str, ToolStatistics],
    environment: dict[str, str],
    *,
    options: argparse.Namespace,
    out: TextIO,
) -> int:
    """Run the producer process and show the statistics until it ends; return its exit code."""
    command = [sys.executable, "-m", "examples.producer", "--calls", str(options.calls), "--seed", str(options.seed)]
    with subprocess.Popen(command, env=environment, cwd=EXAMPLES.parent, stdout=out) as producer:
        with Live(console=console, refresh_per_second=8, transient=False) as live:
            while producer.poll() is None:
                live.update(summary(client.statistics(), before))
                time.sleep(REFRESH)
            live.update(summary(client.statistics(), before))
        return producer.returncode


def summary(now: Mapping[str, ToolStatistics], before: Mapping[str, ToolStatistics]) -> Table:
    """Return the table of what has happened since *before*."""
    title = "Tool calls (p50 and p95: milliseconds from submit to settled)"
    table = Table("tool", *COLUMNS, "p50", "p95", title=title, title_justify="left", box=SIMPLE, padding=(0, 1, 0, 0))
    for column in table.columns[1:]:
        column.justify = "right"
    for tool in TOOLS:
        since = before[tool]
        counts = [
            getattr(now[tool], name)
            - (getattr(since, name) if name in ("submitted", "succeeded", "failed", "cached") else 0)
            for name in COLUMNS
        ]
        quantiles = [now[tool].quantile(share, since=since) for share in (0.5, 0.95)]
        table.add_row(tool, *map(str, counts), *("" if ms is None else f"{ms:.0f}" for ms in quantiles))
    return table


def show_results(console: Console, path: Path) -> tuple[int, int]:
    """Print one result of each tool; return how many calls were answered and how many of them without a result."""
    answered = failed = 0
    shown: dict[str, Any] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        answered += 1
        failed += not entry["result"]["ok"]
        if entry["result"]["ok"]:
            shown.setdefault(entry["call"]["name"], entry)
        else:
            console.print(f"{entry['call']['name']}: {entry['result']['error']['message']}", style="red", markup=False)
    table = Table("tool", "asked", "answered", title="One result of each", title_justify="left", box=SIMPLE)
    for name, entry in shown.items():
        table.add_row(name, _short(entry["call"]["payload"], 60), _short(entry["result"]["result"], 90))
    console.print(table)
    return answered, failed


def _short(value: Any, width: int) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= width else text[: width - 1] + "…"


if __name__ == "__main__":
    sys.exit(main())
