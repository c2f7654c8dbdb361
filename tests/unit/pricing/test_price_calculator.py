"""The tool itself, as an agent meets it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from salesboost.faults import InputFault, PermissionFault
from salesboost.testing import LocalContext
from tasks.pricing.reply import PriceReply
from tasks.tools.price_calculator import price_calculator, probe


def call(payload: dict[str, Any], role: str = "viewer") -> PriceReply:
    reply = price_calculator(price_calculator.input_model.model_validate(payload), LocalContext(caller_role=role))
    assert isinstance(reply, PriceReply)
    return reply


def test_the_least_role_gets_a_price() -> None:
    reply = call({"items": [{"sku": "NV-S100", "quantity": 2}], "discount_rate": 0.1, "tax_rate": 0.2})

    assert json.loads(reply.model_dump_json())["totals"] == {
        "list_price": "158.00",
        "line_discounts": "0.00",
        "order_discount": "15.80",
        "net": "142.20",
        "tax": "28.44",
        "total": "170.64",
    }


def test_the_policy_is_the_one_agreed() -> None:
    policy = price_calculator.policy

    assert (policy.limit, policy.effect, policy.cache_ttl) == ("30/minute", "read", 300)
    assert {"viewer", "sdr", "admin"} <= policy.roles


def test_the_probe_computes_a_known_answer() -> None:
    probe()


def test_the_data_directory_is_the_environments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SALESBOOST_DATA_DIR", str(tmp_path))

    with pytest.raises(InputFault, match="'NV-S100' is not in the price book; it holds 0 products"):
        call({"items": [{"sku": "NV-S100"}]})


def test_prices_are_converted_with_the_rate_of_the_day_asked_for() -> None:
    reply = call({"items": [{"sku": "NV-S100"}], "currency": "eur", "as_of": "2026-10-15"})

    assert (reply.currency, str(reply.totals.total)) == ("EUR", "66.73")
    assert [(rate.source, str(rate.rate), str(rate.on)) for rate in reply.exchange_rates] == [
        ("USD", "0.8447", "2026-10-01")
    ]


def test_todays_rates_are_used_when_no_day_is_named() -> None:
    reply = call({"items": [{"sku": "NV-S100"}], "currency": "EUR"})

    assert reply.exchange_rates[0].on <= datetime.now(UTC).date()


def test_the_cap_of_the_callers_role_binds() -> None:
    payload = {"items": [{"unit_price": 10}], "discount_rate": 0.2}

    with pytest.raises(PermissionFault):
        call(payload, "sdr")
    assert call(payload, "session_director").totals.total == 8


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        ({"items": []}, "items"),
        ({"items": [{}]}, "neither"),
        ({"items": [{"sku": "A", "unit_price": 1}]}, "both"),
        ({"items": [{"unit_price": 1, "quantity": 0}]}, "quantity"),
        ({"items": [{"unit_price": -1}]}, "unit_price"),
        ({"items": [{"unit_price": True}]}, "unit_price"),
        ({"items": [{"unit_price": 1}], "tax_rate": "20%"}, "tax_rate"),
        ({"items": [{"unit_price": 1}], "rounding": "nearest"}, "half_even"),
        ({"items": [{"unit_price": 1}], "as_of": "tomorrow"}, "as_of"),
        ({"items": [{"unit_price": 1}], "locale": "klingon"}, "locale"),
        ({"items": [{"unit_price": 1}], "discount": 1}, "discount"),
        ({"items": [{"unit_price": 1}], "tax_rates": {"exempt": 0.1}}, "exempt"),
        ({"items": [{"unit_price": 1, "tiers": [{"min_quantity": 5, "unit_price": 1}] * 2}]}, "must rise"),
    ],
)
def test_a_wrong_payload_is_refused_by_the_schema(payload: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError, match=field):
        price_calculator.input_model.model_validate(payload)
