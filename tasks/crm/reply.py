"""What the CRM answers."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from tasks.crm.request import Action, EntityName

RecordView = dict[str, JsonValue]
"""A record as JSON: its entity, id, version, times and fields; amounts are decimal strings."""


class CrmReply(BaseModel):
    """The result of `crm_integration`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    action: Action
    entity: EntityName | None = Field(description="null for a search through every kind of record")
    record: RecordView | None = Field(default=None, description="of read, create and update")
    records: list[RecordView] = Field(
        default_factory=list[RecordView], description="of list (newest first) and search (best first)"
    )
    next_cursor: str | None = Field(default=None, description="gives the next page; null on the last one")
    changed: bool = Field(default=False, description="a record was written; false when all was so already")
    replayed: bool = Field(default=False, description="this tool_call_id had written before; nothing was done again")
