"""Limits in human terms, and the policies that hold them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from salesboost.policy import ToolPolicy
from salesboost.rates import KeyedRate, Rate

RATES = st.builds(
    Rate,
    st.integers(1, 1_000_000),
    st.sampled_from([1, 60, 3600, 86_400]).flatmap(
        lambda unit: st.integers(1, 300).map(lambda periods: unit * periods)
    ),
)


@given(RATES)
def test_a_rate_parses_from_its_text(rate: Rate) -> None:
    # Given any rate
    # When it is written and read
    # Then it is the same
    assert Rate.parse(str(rate)) == rate


@given(RATES)
def test_starts_an_interval_apart_never_pass_the_rate(rate: Rate) -> None:
    # Given any rate
    # When starts are an interval apart
    # Then a period holds at most its count of them, and not one less than it could
    assert rate.interval_us * rate.count >= rate.seconds * 1_000_000
    assert (rate.interval_us - 1) * rate.count < rate.seconds * 1_000_000


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("10/minute", Rate(10, 60)),
        ("10/min", Rate(10, 60)),
        ("20/Hour", Rate(20, 3600)),
        ("100/15 minutes", Rate(100, 900)),
        (" 5 / d ", Rate(5, 86_400)),
        ("3/2s", Rate(3, 2)),
    ],
)
def test_the_ways_to_write_a_rate(text: str, rate: Rate) -> None:
    # Given a rate as people write it
    # When it is read
    # Then it is understood
    assert Rate.parse(text) == rate


@pytest.mark.parametrize("text", ["20ph", "0/hour", "10/fortnight", "10", "", "-1/hour", "1.5/hour", "10/0 hours"])
def test_what_is_no_rate_is_named_with_the_remedy(text: str) -> None:
    # Given something else
    # When it is read as the limit of a tool
    # Then the error names the setting and what it must be
    with pytest.raises(ValueError, match=r"limit for sms must .*, got"):
        Rate.parse(text, name="limit for sms")


def test_a_keyed_rate_parses_from_its_text() -> None:
    # Given a rate for each value of a field
    keyed = KeyedRate.parse("5/day per customer.phone_number")

    # When it is written and read
    # Then it is the same
    assert keyed == KeyedRate(Rate(5, 86_400), "customer.phone_number")
    assert KeyedRate.parse(str(keyed)) == keyed
    with pytest.raises(ValueError, match="RATE per KEY"):
        KeyedRate.parse("5/day for each phone")


@pytest.mark.parametrize(
    "fields",
    [
        {"limit": "often"},
        {"limit_keys": ("5/day",)},
        {"burst": 0},
        {"concurrency": 0},
        {"timeout": 0},
        {"timeout": 5, "soft_timeout": 5},
        {"retries": -1},
        {"cache_ttl": 5, "effect": "write"},
        {"effect": "sometimes"},
        {"queue": "Sms Queue"},
        {"no_such_field": 1},
    ],
)
def test_a_wrong_policy_is_refused(fields: dict[str, Any]) -> None:
    # Given a policy with one wrong field
    # When it is made, and when tools.toml says it
    # Then it is refused
    with pytest.raises(ValidationError):
        ToolPolicy(**fields)
    with pytest.raises(ValidationError):
        ToolPolicy().overridden(fields)


def test_an_override_changes_its_fields_and_no_other() -> None:
    # Given a policy stated in code
    policy = ToolPolicy(roles=frozenset({"sdr"}), limit="10/minute", timeout=20)

    # When tools.toml overrides its limit
    changed = policy.overridden({"limit": "none", "soft_timeout": 3})

    # Then the rest is as it was
    assert (changed.rate, changed.soft_limit) == (None, 3)
    assert (changed.roles, changed.timeout) == (policy.roles, policy.timeout)
    assert (policy.rate, policy.soft_limit) == (Rate(10, 60), 16)
