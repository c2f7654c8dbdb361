"""The companies that the example company knows, each with its place, its industry and its day of entry."""

from dataclasses import dataclass
from datetime import date, timedelta
from random import Random

from examples.company.tables import EXAMPLES, Row, read_table

FIRST_DAY = date(2025, 6, 2)
# The books close here: only expected closing dates lie after it.
AS_OF = date(2026, 9, 15)
# Within how many days of FIRST_DAY a company of each lifecycle stage became known.
KNOWN_WITHIN = {"customer": 260, "churned": 45, "opportunity": 360, "lead": 440}
# Leads belong to the sales development rep of their half of the world.
LEAD_OWNERS = {"US": "U-13", "CA": "U-13"}


@dataclass
class Customer:
    """A customer under construction; `row` is its line of customers.csv."""

    row: Row
    place: Row
    industry: Row
    created: date
    last_event: date
    events: int = 0

    @property
    def id(self) -> str:
        return self.row["id"]

    @property
    def stage(self) -> str:
        return self.row["lifecycle_stage"]

    def happened(self, day: date) -> None:
        """Count an event; each raises the record's version by one."""
        self.last_event, self.events = max(self.last_event, day), self.events + 1

    def finished_row(self) -> Row:
        return self.row | {"updated_at": self.last_event.isoformat(), "version": str(1 + self.events)}


def working_day(rng: Random, first: date, last: date) -> date:
    """Return a day from Monday to Friday between the two; a weekend moves on to its Monday."""
    return after_weekend(first + timedelta(rng.randint(0, max((last - first).days, 0))))


def after_weekend(day: date) -> date:
    """Return the day itself, or the Monday after it when it is a Saturday or Sunday."""
    return day + timedelta(7 - day.weekday() if day.weekday() > 4 else 0)


def enter_customers(rng: Random) -> list[Customer]:
    """Return all companies in the order in which they became known."""
    sources = EXAMPLES / "sources"
    places = {row["city"]: row for row in read_table(sources / "places.csv")}
    industries = {row["industry"]: row for row in read_table(sources / "industries.csv")}
    found = []
    for source in read_table(sources / "companies.csv"):
        place = places[source["city"]]
        created = working_day(rng, FIRST_DAY, FIRST_DAY + timedelta(KNOWN_WITHIN[source["lifecycle_stage"]]))
        owner = rng.choice(place["owners"].split())
        if source["lifecycle_stage"] == "lead":
            owner = LEAD_OWNERS.get(place["country"], "U-14")
        row = customer_row(source, place, owner, created.isoformat())
        found.append(Customer(row, place, industries[source["industry"]], created, created))
    found.sort(key=lambda customer: (customer.created, customer.row["company"]))
    for serial, customer in enumerate(found, 1001):
        customer.row["id"] = f"C-{serial}"
    return found


def customer_row(source: Row, place: Row, owner: str, created: str) -> Row:
    """Return a line of customers.csv without its id, last change and version."""
    employees = int(source["employees"])
    return {
        "id": "",
        **{key: source[key] for key in ("company", "contact_name", "contact_role", "email", "phone")},
        **{key: place[key] for key in ("phone_type", "country", "region")},
        "city": source["city"],
        **{key: place[key] for key in ("time_zone", "language", "currency")},
        "industry": source["industry"],
        "segment": "enterprise" if employees >= 1000 else "mid_market" if employees >= 100 else "smb",
        "employees": source["employees"],
        **{key: source[key] for key in ("lifecycle_stage", "marketing_consent", "sms_consent")},
        "consent_updated_at": created,
        "owner": owner,
        "created_at": created,
    }
