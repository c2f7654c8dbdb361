"""Options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer


class OnLimitName(StrEnum):
    """What to do when the tool is at its limit."""

    RAISE = "raise"
    WAIT = "wait"


Tool = Annotated[str, typer.Argument(metavar="TOOL", help="The tool's name; see `salesboost tools`.")]
Payload = Annotated[
    str | None,
    typer.Argument(metavar="PAYLOAD_JSON|-|@FILE", help="The input as a JSON object, from stdin, or from a file."),
]
Arguments = Annotated[
    list[str] | None,
    typer.Option("--arg", metavar="KEY=VALUE", help="One field of the input; VALUE is JSON, else text. Repeatable."),
]
Role = Annotated[
    str, typer.Option("--role", metavar="ROLE", envvar="SALESBOOST_ROLE", help="The role the call is made in.")
]
Tenant = Annotated[str | None, typer.Option("--tenant", metavar="NAME", help="The tenant; `default` when absent.")]
ToolCallId = Annotated[
    str | None,
    typer.Option("--tool-call-id", metavar="ID", help="Idempotency key: the same key gives the same job."),
]
OnLimit = Annotated[
    OnLimitName, typer.Option("--on-limit", help="At the tool's limit: give up (exit code 4), or wait.")
]
Deadline = Annotated[
    float | None, typer.Option("--deadline", metavar="SECONDS", help="Begin nothing after so long from now.")
]
Priority = Annotated[int, typer.Option("--priority", metavar="0..9", help="9 runs first.")]
Timeout = Annotated[
    float | None,
    typer.Option("--timeout", metavar="SECONDS", min=0, help="Wait so long here; the job goes on after it."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, errors too.")]
Job = Annotated[str, typer.Argument(metavar="JOB", help="The job's id, as `submit` printed it.")]
