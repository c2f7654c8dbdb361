"""What the CRM can be asked."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

Action = Literal["read", "update", "create", "list", "search"]
EntityName = Literal["customer", "deal", "interaction", "order", "product"]
Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$")]

WRITES: frozenset[Action] = frozenset({"create", "update"})


class CrmRequest(BaseModel):
    """The payload of `crm_integration`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    action: Action
    entity: EntityName | None = Field(
        default=None, description="customer when absent; a search then looks through every kind of record"
    )
    customer_id: Id | None = Field(
        default=None, description="the customer, or whose deals, interactions and orders are meant"
    )
    record_id: Id | None = Field(default=None, description="the record to read or update; the id of a new one")
    data: dict[str, JsonValue] | None = Field(
        default=None,
        description=(
            "fields to write. customer: company (required), contact_name, contact_role, email, "
            "phone (E.164), phone_type, country, region, city, time_zone, language, currency, industry, "
            "employees, segment, lifecycle_stage, marketing_consent, sms_consent, owner, notes. "
            "deal: customer_id, name (required), owner, stage, amount, currency, discount_rate, "
            "discount_approved_by, competitor, close_reason, opened_at, expected_close, closed_at. "
            "interaction: customer_id, channel, direction, text (required), deal_id, occurred_at, stage, "
            "staff. version: the version you read; the update is refused when the record changed since"
        ),
    )
    filters: dict[str, str | int | bool] = Field(
        default_factory=dict[str, str | int | bool],
        max_length=10,
        description="for list: fields and the values they must have, such as {'stage': 'negotiation'}",
    )
    query: str | None = Field(default=None, max_length=500, description="for search: any text; all words must match")
    limit: int = Field(default=10, ge=1, le=100)
    cursor: str | None = Field(default=None, max_length=500, description="next_cursor of the page before")
    expected_version: int | None = Field(default=None, ge=1, description="same as data.version")

    @model_validator(mode="after")
    def _fits_the_action(self) -> CrmRequest:
        asks: dict[str, bool] = {
            "data": self.data is not None,
            "query": self.query is not None,
            "filters": bool(self.filters),
            "cursor": self.cursor is not None,
            "expected_version": self.expected_version is not None,
        }
        fits = {
            "read": set[str](),
            "update": {"data", "expected_version"},
            "create": {"data"},
            "list": {"filters", "cursor"},
            "search": {"query", "cursor"},
        }[self.action]
        needs = {"update": "data", "create": "data", "search": "query"}.get(self.action)
        if needs and not asks[needs]:
            raise ValueError(f"{self.action} needs {needs}")
        wrong = sorted(name for name, given in asks.items() if given and name not in fits)
        if wrong:
            raise ValueError(f"{self.action} takes no {' and no '.join(wrong)}")
        if self.action in {"read", "update"} and self.target is None:
            what = "customer_id" if self.kind == "customer" else "record_id"
            raise ValueError(f"{self.action} of a {self.kind} needs {what}")
        if self.kind == "customer" and self.customer_id and self.record_id and self.customer_id != self.record_id:
            raise ValueError("customer_id and record_id name two customers; give one")
        return self

    @property
    def kind(self) -> EntityName:
        """The entity meant."""
        return self.entity or "customer"

    @property
    def target(self) -> str | None:
        """The id of the record meant."""
        return self.record_id or (self.customer_id if self.kind == "customer" else None)
