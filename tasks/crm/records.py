"""What a record may hold: one model for each entity, checked before anything is written."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from tasks.pricing.exact import Price, Share
from tasks.pricing.money import CurrencyCode

Stage = Literal[
    "prospecting",
    "qualification",
    "discovery",
    "presentation",
    "objection",
    "negotiation",
    "closing",
    "follow_up",
]
DealStage = Literal[Stage, "closed_won", "closed_lost"]
Channel = Literal["email", "phone", "meeting", "chat", "sms", "note"]


def _storable(text: str) -> str:
    if "\x00" in text:
        raise ValueError("must not contain the character NUL")
    return text


Line = Annotated[str, Field(max_length=200), AfterValidator(_storable)]
"""A short text."""

Prose = Annotated[str, Field(max_length=8000), AfterValidator(_storable)]
"""A long text."""

Day = Annotated[date, Field(strict=False)]
Moment = Annotated[AwareDatetime, Field(strict=False)]
RecordId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$")]


class RecordData(BaseModel):
    """Base of the models here: nothing unknown, nothing converted silently."""

    model_config = ConfigDict(extra="forbid", strict=True)


class CustomerData(RecordData):
    """A company with the person we talk to."""

    company: Annotated[Line, Field(min_length=1)]
    contact_name: Line | None = None
    contact_role: Line | None = None
    email: Annotated[str, Field(max_length=254, pattern=r"^[^@\s\x00]+@[^@\s\x00]+\.[^@\s\x00]+$")] | None = None
    phone: Annotated[str, Field(pattern=r"^\+[1-9]\d{6,14}$")] | None = None
    phone_type: Literal["mobile", "landline"] | None = None
    country: Annotated[str, Field(pattern=r"^[A-Z]{2}$")] | None = None
    region: Line | None = None
    city: Line | None = None
    time_zone: Annotated[str, Field(max_length=64, pattern=r"^[A-Za-z]+([/_+-][A-Za-z0-9]+)*$")] | None = None
    language: Annotated[str, Field(pattern=r"^[a-z]{2,3}(-[A-Z]{2})?$")] | None = None
    currency: CurrencyCode | None = None
    industry: Line | None = None
    employees: Annotated[int, Field(ge=0, le=10_000_000)] | None = None
    segment: Literal["smb", "mid_market", "enterprise"] | None = None
    lifecycle_stage: Literal["lead", "opportunity", "customer", "churned"] = "lead"
    marketing_consent: bool = False
    sms_consent: bool = False
    consent_updated_at: Day | None = None
    owner: Line | None = None
    notes: Prose | None = None


class DealData(RecordData):
    """A chance of a sale."""

    customer_id: RecordId
    name: Annotated[Line, Field(min_length=1)]
    owner: Line | None = None
    stage: DealStage = "prospecting"
    amount: Price | None = None
    currency: CurrencyCode | None = None
    discount_rate: Share | None = None
    discount_approved_by: Line | None = None
    competitor: Line | None = None
    close_reason: Line | None = None
    opened_at: Day | None = None
    expected_close: Day | None = None
    closed_at: Day | None = None

    @model_validator(mode="after")
    def _closed_means_closed(self) -> DealData:
        if self.closed_at is not None and not self.stage.startswith("closed_"):
            raise ValueError(
                f"closed_at must be null while stage is {self.stage!r}; close with closed_won or closed_lost"
            )
        if self.amount is not None and self.currency is None:
            raise ValueError("amount needs a currency")
        return self


class InteractionData(RecordData):
    """A message, a call or a meeting with a customer."""

    customer_id: RecordId
    deal_id: RecordId | None = None
    occurred_at: Moment | None = None
    channel: Channel
    direction: Literal["inbound", "outbound"]
    stage: Stage | None = None
    staff: Line | None = None
    text: Annotated[Prose, Field(min_length=1)]


class OrderData(RecordData):
    """An order; it comes by import only."""

    customer_id: RecordId
    deal_id: RecordId | None = None
    ordered_on: Day
    status: Line
    currency: CurrencyCode
    total: Price
    lines: list[dict[str, str]] = Field(max_length=500)


class ProductData(RecordData):
    """A product; it comes by import only."""

    name: Annotated[Line, Field(min_length=1)]
    family: Line | None = None
    unit: Line | None = None
    unit_price: Price
    currency: CurrencyCode
    tax_class: Line | None = None
    tier: Line | None = None
    discountable: bool
    status: Line
    description: Prose | None = None
