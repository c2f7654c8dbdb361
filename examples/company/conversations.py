"""Interactions: the conversations of `sources/conversations.toml`, told with a customer's names."""

import tomllib
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from random import Random
from typing import NamedTuple

from examples.company.customers import Customer, after_weekend
from examples.company.tables import EXAMPLES, Row

STAGES = (
    "prospecting",
    "qualification",
    "discovery",
    "presentation",
    "objection",
    "negotiation",
    "closing",
    "follow_up",
)
RIVALS = ("Thermivo", "Glacient", "Coldspire", "Loggerhaus")


class Message(NamedTuple):
    """One message; `place` is its place in the conversation's life, from 0 to 1."""

    place: str
    stage: str
    channel: str
    direction: str
    text: str


@dataclass
class Arc:
    """A conversation from its first message to its outcome."""

    outcome: str
    messages: list[Message]
    kind: str
    reason: str
    needs: list[str]
    rivals: tuple[str, ...]
    suits_known: bool
    uses: int = 0


class ArcLibrary:
    """Hands out conversations so that all are used about equally often."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        text = (EXAMPLES / "sources" / "conversations.toml").read_text("utf-8")
        self._arcs = []
        for entry in tomllib.loads(text)["arc"]:
            messages = [Message(*message) for message in entry["messages"]]
            self._arcs.append(
                Arc(
                    outcome=entry["outcome"],
                    messages=messages,
                    kind=entry.get("kind", "any"),
                    reason=entry.get("reason", ""),
                    needs=entry.get("needs", []),
                    rivals=tuple(entry.get("rivals", RIVALS)),
                    suits_known=entry.get("known", messages[0].stage != "prospecting"),
                )
            )

    def pick(self, outcome: str, kind: str = "any", *, met_before: bool = False, sms: bool = True) -> Arc:
        """Return the least used conversation that fits the deal's kind and what the company has agreed to."""
        fitting = [
            arc
            for arc in self._arcs
            if arc.outcome == outcome
            and arc.kind in ("any", kind)
            and (arc.suits_known or not met_before)
            and (sms or "sms" not in arc.needs)
        ]
        arc = min(fitting, key=lambda arc: (arc.uses, self._rng.random()))
        arc.uses += 1
        return arc


class Journal:
    """Collects interactions; `rows` numbers them by time."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._rows: list[Row] = []

    def tell(
        self,
        arc: Arc,
        customer: Customer,
        staff: Row,
        span: tuple[date, date],
        *,
        deal_id: str = "",
        up_to: str = "follow_up",
        slots: dict[str, str] | None = None,
    ) -> None:
        """Add the messages up to a stage, spread over the span, between 10:00 and 17:00 local winter time."""
        names = {
            "first": customer.row["contact_name"].split()[0],
            "rep": staff["name"].split()[0],
            "company": customer.row["company"],
            "trade": customer.industry["trade"],
        } | (slots or {})
        for position, message in enumerate(arc.messages):
            if STAGES.index(message.stage) > STAGES.index(up_to):
                continue
            offset = int((span[1] - span[0]).days * Decimal(message.place))
            day = after_weekend(span[0] + timedelta(offset))
            local = datetime.combine(day, time(10 + position, self._rng.randint(0, 59)))
            at = local - timedelta(hours=int(customer.place["utc_hours"]))
            stop = message.text == "STOP"
            without_sms = customer.row["sms_consent"] == "false" and not stop
            self._rows.append(
                {
                    "customer_id": customer.id,
                    "deal_id": deal_id,
                    "occurred_at": f"{at.isoformat()}Z",
                    "channel": "email" if without_sms and message.channel == "sms" else message.channel,
                    "direction": message.direction,
                    "stage": message.stage,
                    "staff": staff["id"],
                    "text": message.text.format(**names),
                }
            )
            customer.happened(day)
            if stop:
                customer.row |= {"sms_consent": "false", "consent_updated_at": day.isoformat()}

    def rows(self) -> list[Row]:
        ordered = sorted(self._rows, key=lambda row: (row["occurred_at"], row["customer_id"]))
        return [{"id": f"I-{serial}"} | row for serial, row in enumerate(ordered, 9001)]
