"""``salesboost tools``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, cast

import orjson
import typer

from salesboost.cli import options
from salesboost.cli.connection import client
from salesboost.cli.exits import Exit
from salesboost.cli.printing import console, print_json

if TYPE_CHECKING:
    from salesboost.models import ToolInfo


def add_to(cli: typer.Typer) -> None:
    """Register the command."""
    cli.command("tools")(tools)


def tools(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="One tool, with its JSON schemas.")] = None,
    json: options.Json = False,
) -> int:
    """List the tools that workers have published.

    \b
    Example: salesboost tools
             salesboost tools price_calculator --json | jq .input_schema
    """  # noqa: D301
    from salesboost.errors import ToolNotFound

    with client(context) as tool_client:
        published = tool_client.tools()
    if name is None:
        if json:
            print_json([info.model_dump(mode="json") for info in published])
        else:
            _print_table(published)
        return Exit.OK
    for info in published:
        if info.name == name:
            _print_one(info, as_json=json)
            return Exit.OK
    known = ", ".join(info.name for info in published) or "none"
    raise ToolNotFound(f"no worker has published a tool named {name}; published are: {known}")


def _print_table(published: list[ToolInfo]) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("TOOL", "VERSION", "ROLES", "LIMIT", "EFFECT", "CACHED", "DESCRIPTION"):
        table.add_column(heading, no_wrap=heading in ("TOOL", "VERSION", "EFFECT", "CACHED"))
    for info in published:
        table.add_row(
            info.name,
            info.version,
            " ".join(info.roles) or "any",
            "; ".join([info.limit or "none", *info.limit_keys]),
            info.effect,
            f"{info.cache_ttl:g} s" if info.cache_ttl else "",
            info.description.partition("\n")[0],
        )
    console().print(table)


def _print_one(info: ToolInfo, *, as_json: bool) -> None:
    facts = info.model_dump(mode="json")
    if as_json:
        print_json(facts)
        return
    schemas = {field: facts.pop(field) for field in ("input_schema", "output_schema")}
    for field, value in facts.items():
        text = ", ".join(cast(list[str], value)) if isinstance(value, list) else value
        typer.echo(f"{field:<12} {text}")
    for field, schema in schemas.items():
        typer.echo(f"{field}\n{orjson.dumps(schema, option=orjson.OPT_INDENT_2).decode()}")
