"""``salesboost call`` and ``salesboost submit``."""

from __future__ import annotations

import uuid

import typer

from salesboost.cli import options
from salesboost.cli.connection import client
from salesboost.cli.exits import Exit
from salesboost.cli.options import OnLimitName
from salesboost.cli.payloads import read_payload
from salesboost.cli.printing import complain, print_json, print_result


def add_to(cli: typer.Typer) -> None:
    """Register the commands."""
    cli.command("call")(call)
    cli.command("submit")(submit)


def call(
    context: typer.Context,
    tool: options.Tool,
    payload: options.Payload = None,
    *,
    role: options.Role,
    arg: options.Arguments = None,
    tenant: options.Tenant = None,
    tool_call_id: options.ToolCallId = None,
    on_limit: options.OnLimit = OnLimitName.RAISE,
    deadline: options.Deadline = None,
    priority: options.Priority = 5,
    timeout: options.Timeout = None,
    json: options.Json = False,
) -> int:
    """Run a tool, wait, and print its result.

    \b
    Example: salesboost call price_calculator @quote.json --role sdr
             salesboost call price_calculator --role sdr --arg currency=EUR
    """  # noqa: D301
    from salesboost import wire

    call_id = tool_call_id or uuid.uuid4().hex
    value = read_payload(payload, arg or ())
    with client(context) as tools:
        try:
            result = tools.call(
                tool,
                value,
                caller_role=role,
                tool_call_id=call_id,
                on_limit="raise" if on_limit is OnLimitName.RAISE else "wait",
                deadline=deadline,
                priority=priority,
                tenant=tenant,
                timeout=timeout,
            )
        except KeyboardInterrupt:
            job = wire.job_id(tenant or wire.DEFAULT_TENANT, tool, call_id)
            complain("SB_INTERRUPTED", f"interrupted; the job goes on: salesboost status {job}", as_json=json)
            return Exit.INTERRUPTED
    return print_result(result, as_json=json)


def submit(
    context: typer.Context,
    tool: options.Tool,
    payload: options.Payload = None,
    *,
    role: options.Role,
    arg: options.Arguments = None,
    tenant: options.Tenant = None,
    tool_call_id: options.ToolCallId = None,
    on_limit: options.OnLimit = OnLimitName.WAIT,
    deadline: options.Deadline = None,
    priority: options.Priority = 5,
    json: options.Json = False,
) -> int:
    """Hand a call over and print its job's id; `salesboost status` has the rest.

    A result that is cached becomes no job: it is printed at once, as by `call`.

    \b
    Example: job=$(salesboost submit sms_outreach @sms.json --role sdr)
             salesboost status $job --wait
    """  # noqa: D301
    with client(context) as tools:
        handle = tools.submit(
            tool,
            read_payload(payload, arg or ()),
            caller_role=role,
            tool_call_id=tool_call_id,
            on_limit="raise" if on_limit is OnLimitName.RAISE else "wait",
            deadline=deadline,
            priority=priority,
            tenant=tenant,
        )
    if not handle.job_id and handle.known:
        return print_result(handle.known, as_json=json)
    if json:
        print_json({"job_id": handle.job_id, "tool": handle.tool, "tool_call_id": handle.tool_call_id})
    else:
        typer.echo(handle.job_id)
    return Exit.OK
