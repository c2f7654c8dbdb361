"""``python -m workers worker | beat | check | up``: the processes of the server side."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated

import typer

from salesboost.errors import ConfigurationError

cli = typer.Typer(
    name="workers",
    help="The processes of the server side. Settings come from the environment and config/salesboost.toml.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


class PoolName(StrEnum):
    """How a worker runs attempts side by side."""

    PREFORK = "prefork"
    THREADS = "threads"
    SOLO = "solo"


Tools = Annotated[
    list[str] | None,
    typer.Option("--tools", metavar="MODULE", help="A further module with tools. Repeatable."),
]


@cli.command()
def worker(
    queues: Annotated[str, typer.Option(help="Queues to serve, with commas; all of the tools' when empty.")] = "",
    concurrency: Annotated[int | None, typer.Option(min=1, max=1000, help="Attempts at a time.")] = None,
    pool: Annotated[
        PoolName, typer.Option(help="Processes, or threads for tools that wait on others.")
    ] = PoolName.PREFORK,
    tools: Tools = None,
) -> None:
    """Run a worker. SIGTERM lets attempts finish for a while, then gives them back."""
    from config.settings import settings
    from workers.worker import run_worker

    names = [name.strip() for name in queues.split(",") if name.strip()]
    sys.exit(
        run_worker(settings(), queue_names=names, concurrency=concurrency, pool=pool.value, tool_modules=tools or ())
    )


@cli.command()
def beat() -> None:
    """Run beat. Two of them do no harm; without one, workers look after the ledger themselves."""
    from config import logs
    from config.settings import settings
    from workers.app import create_app

    logs.configure(settings())
    create_app(settings()).Beat(loglevel="WARNING", quiet=True).run()


@cli.command()
def check(tools: Tools = None) -> None:
    """Check settings, tools and servers; start nothing. Exit code 1 when a worker would refuse to start."""
    from workers.check import run_check

    sys.exit(run_check(tools or ()))


@cli.command()
def up(
    workers: Annotated[int, typer.Option(min=1, max=64, help="Worker processes.")] = 2,
    concurrency: Annotated[int, typer.Option(min=1, max=1000, help="Attempts at a time in each.")] = 2,
    pool: Annotated[PoolName, typer.Option(help="Processes or threads.")] = PoolName.PREFORK,
    tools: Tools = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON line on stdout when it is ready.")] = False,
) -> None:
    """Run the whole stack in this terminal: servers, workers, beat. Ctrl-C stops all of it."""
    from workers.stack import run_up

    sys.exit(
        run_up(workers=workers, concurrency=concurrency, pool=pool.value, tool_modules=tools or (), as_json=as_json)
    )


@cli.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []},
)
def kb(context: typer.Context) -> None:
    """Fill, list, remove and search knowledge bases; see `kb --help`."""
    from workers.knowledge import run

    sys.argv = ["kb", *context.args]
    run()


def main() -> None:
    """Run the command line; a configuration error is a sentence, not a traceback."""
    try:
        cli()
    except ConfigurationError as exc:
        sys.stderr.write(f"error: {exc}\n")
        sys.exit(2)


if __name__ == "__main__":
    main()
