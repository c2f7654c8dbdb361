"""Puts the commands together and turns whatever happens into one sentence and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from salesboost.cli import batches, calling, catalogue, jobs, stack
from salesboost.cli.connection import Connection
from salesboost.cli.exits import EPILOG, Exit, of_error
from salesboost.cli.printing import complain
from salesboost.errors import SalesBoostError

cli = typer.Typer(
    name="salesboost",
    epilog=EPILOG,
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,  # plain help: rich's costs half a second, and this fits a screen
    context_settings={"help_option_names": ["-h", "--help"]},
)
for module in (calling, jobs, catalogue, batches, stack):
    module.add_to(cli)


def _print_version(wanted: bool) -> None:
    if wanted:
        from salesboost import __version__

        typer.echo(f"salesboost {__version__}")
        raise typer.Exit


@cli.callback()
def options(
    context: typer.Context,
    url: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            envvar="SALESBOOST_REDIS_URL",
            help="State server; the stack that runs in this folder when absent.",
        ),
    ] = None,
    cache_url: Annotated[
        str | None,
        typer.Option(metavar="URL", envvar="SALESBOOST_CACHE_URL", help="Cache server; that stack's when absent."),
    ] = None,
    namespace: Annotated[
        str | None,
        typer.Option(metavar="NAME", envvar="SALESBOOST_NAMESPACE", help="The ledger's name; `sb` when absent."),
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Call tools, look at jobs, run the stack.

    \b
    Example: salesboost up                                     (in one terminal)
             salesboost tools                                  (in another)
             salesboost call crm_integration @customer.json --role sdr
    """  # noqa: D301 - \b is click's mark for lines that stay as they are
    context.obj = Connection(url=url or None, cache_url=cache_url or None, namespace=namespace or None)


# typer may carry a click of its own, so that click's classes cannot be imported: this is the base of its complaints.
_UsageError = typer.BadParameter.__mro__[1]


def run(arguments: Sequence[str]) -> int:
    """Run one command; return its exit code. Nothing but an exit code and a sentence leaves it."""
    as_json = "--json" in arguments
    try:
        code = cli(args=list(arguments), prog_name="salesboost", standalone_mode=False)
        return int(code or Exit.OK)
    except (KeyboardInterrupt, typer.Abort):
        complain("SB_INTERRUPTED", "interrupted; jobs that were submitted go on", as_json=as_json)
        return Exit.INTERRUPTED
    except SalesBoostError as exc:
        complain(exc.code, exc.message, as_json=as_json, retryable=exc.retryable, retry_after=exc.retry_after)
        return of_error(exc)
    except BrokenPipeError:
        # Whoever read our output has seen enough; what is buffered must not complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.OK
    except Exception as exc:
        # The edge of the command line: a person gets a sentence whatever happens.
        if isinstance(exc, _UsageError):
            return _explain_usage(exc, as_json=as_json)
        complain("SB_BUG", f"unexpected {type(exc).__name__}: {exc}; please report it", as_json=as_json)
        return Exit.FAILED


def _explain_usage(exc: Exception, *, as_json: bool) -> int:
    text = str(getattr(exc, "format_message", exc.__str__)()).strip()
    context = getattr(exc, "ctx", None)
    if "\n" in text:
        sys.stderr.write(f"{text}\n")  # no command was named: the text is the help
        return Exit.USAGE
    where = context.command_path if context else "salesboost"
    complain("SB_USAGE", f"{text.rstrip('.')}; see `{where} --help`", as_json=as_json)
    return Exit.USAGE
