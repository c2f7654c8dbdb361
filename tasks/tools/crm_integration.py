"""The tool `crm_integration`: the customers' records.

SQLAlchemy takes a second to import, so a worker imports it once before it forks, and the catalogue not at all.
"""

from __future__ import annotations

from salesboost import ToolContext, tool
from tasks.crm.reply import CrmReply
from tasks.crm.request import WRITES, CrmRequest
from tasks.locations import crm_url


def probe() -> None:
    """Run a search on the CRM's database."""
    from tasks.crm.audit import Caller
    from tasks.crm.desk import serve

    serve(crm_url(), CrmRequest(action="search", query="probe", limit=1), Caller("probe", "system", "probe"))


def prepare() -> None:
    """Import what serves a request, bring the database to this version's schema, leave no connection open."""
    probe()
    from tasks.crm.database import engine_for

    engine_for(crm_url()).dispose()


@tool(
    name="crm_integration",
    roles={"sdr", "session_director", "system", "admin", "coach", "compliance"},
    limit="5/minute",
    timeout=30,
    effect="idempotent",
    probe=probe,
    prepare=prepare,
)
def crm_integration(args: CrmRequest, ctx: ToolContext) -> CrmReply:
    """Read, list, search, create or update the CRM's customers, deals, interactions, orders and products.

    action "read" needs customer_id (or entity and record_id); "list" gives a page, newest first, narrowed by
    customer_id and filters; "search" finds records that hold every word of query; "create" and "update" write
    data. Without entity a customer is meant, in a search anything. To be safe against changes by others, send
    the version you read as data.version. Orders and products are read-only. Continue a page with next_cursor.
    Roles coach and compliance may not write.
    """
    from tasks.crm.audit import Caller
    from tasks.crm.desk import check_permission, serve

    check_permission(args, ctx.caller_role)
    caller = Caller(ctx.tenant, ctx.caller_role, ctx.tool_call_id, ctx.job_id)
    if args.action not in WRITES:
        return serve(crm_url(), args, caller)
    with ctx.effect("crm-write") as effect:
        reply = serve(crm_url(), args, caller)
        record = reply.record or {}
        effect.confirm({"entity": reply.entity, "id": record.get("id"), "version": record.get("version")})
        return reply
