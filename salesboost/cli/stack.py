"""``salesboost up`` and ``salesboost kb``: what only the server side, in this folder, can do."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from salesboost.cli.connection import Connection
from salesboost.cli.exits import Exit
from salesboost.cli.printing import complain

_NEEDED = ("celery", "structlog", "pydantic_settings")
"""What stands for `requirements/server.lock`."""


def add_to(cli: typer.Typer) -> None:
    """Register the commands."""
    cli.command("up")(up)
    passing = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": list[str]()}
    cli.command("kb", context_settings=passing)(kb)


def up(
    context: typer.Context,
    *,
    workers: Annotated[int, typer.Option(metavar="N", min=1, max=64, help="Worker processes.")] = 2,
    concurrency: Annotated[int, typer.Option(metavar="N", min=1, max=1000, help="Attempts at a time in each.")] = 2,
    pool: Annotated[str, typer.Option(metavar="prefork|threads", help="How a worker runs them.")] = "prefork",
    tools: Annotated[
        list[str] | None, typer.Option("--tools", metavar="MODULE", help="A further module with tools. Repeatable.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON line on stdout when it is ready.")] = False,
) -> int:
    """Run the whole stack in this terminal: servers, workers, beat. Ctrl-C stops all of it, with exit code 0.

    Data and logs are kept in `var/` here, or in $SALESBOOST_HOME. With --url your own servers are used.

    \b
    Example: salesboost up --workers 4 --tools my_company.tools
    """  # noqa: D301
    arguments = ["--workers", str(workers), "--concurrency", str(concurrency), "--pool", pool]
    for module in tools or ():
        arguments += ["--tools", module]
    if as_json:
        arguments.append("--json")
    return _become(context, "up", *arguments)


def kb(context: typer.Context) -> int:
    """Fill, list, remove and search knowledge bases (add | list | remove | search; see `salesboost kb --help`).

    \b
    Example: salesboost kb add examples/documents
    """  # noqa: D301
    return _become(context, "kb", *context.args)


def _become(context: typer.Context, *arguments: str) -> int:
    """Turn this process into ``python -m workers``: no parent is left that a kill could part from it."""
    lacking = _lacking()
    if lacking:
        complain("SB_MISSING", lacking, as_json=False)
        return Exit.MISSING
    chosen: Connection = context.obj
    named = {
        "SALESBOOST_REDIS_URL": chosen.url,
        "SALESBOOST_CACHE_URL": chosen.cache_url,
        "SALESBOOST_NAMESPACE": chosen.namespace,
    }
    os.environ.update({variable: value for variable, value in named.items() if value})
    command = [sys.executable, "-m", "workers", *arguments]
    return os.execv(sys.executable, command)  # nosec B606


def _lacking() -> str:
    """Return why the stack cannot run from here, empty when it can."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)  # where `python -m` will look
    found = find_spec("workers")
    if found is None or not found.origin or not Path(found.origin).with_name("stack.py").exists():
        return (
            f"the server side of SalesBoost is not in {here}: run `salesboost up` in a clone of the repository after "
            "`make setup`, or use its container image"
        )
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        return (
            f"{', '.join(missing)} not installed in {sys.prefix}: run `make setup`, or "
            "`pip install -r requirements/server.lock`"
        )
    return ""
