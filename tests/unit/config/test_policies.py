"""`tools.toml` over the tools' own policies, `groups.toml`, and the fleet's switches over both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from config import policies
from config.settings import Settings
from salesboost.errors import ConfigurationError
from salesboost.policy import ToolPolicy

ROOT = Path(__file__).parents[3]


def a_file(folder: Path, text: str) -> Path:
    path = folder / "tools.toml"
    path.write_text(text, encoding="utf-8")
    return path


def overridden(folder: Path, text: str, **stated: Any) -> ToolPolicy:
    path = a_file(folder, text)
    fields = policies.read_overrides(path)["sms"]
    return policies.apply(ToolPolicy(**stated), "sms", fields, path)


def test_a_field_of_the_file_stands_over_the_tools_own(tmp_path: Path) -> None:
    # Given a tool with a policy of its own
    stated = {"limit": "1/minute", "roles": frozenset({"sdr"}), "timeout": 5.0, "queue": "slow"}
    # When the file names some of its fields
    found = overridden(
        tmp_path,
        '[sms]\nlimit = "20/hour"\nlimit_keys = ["5/day per phone_number"]\nroles = ["admin"]\nburst = 3\n'
        'strict = true\nconcurrency = 4\nretries = 0\nsoft_timeout = 2.5\neffect = "write"\n',
        **stated,
    )
    # Then these are the file's, and the others the tool's
    assert found == ToolPolicy(
        limit="20/hour",
        limit_keys=("5/day per phone_number",),
        roles=frozenset({"admin"}),
        burst=3,
        strict=True,
        concurrency=4,
        retries=0,
        soft_timeout=2.5,
        effect="write",
        timeout=5.0,
        queue="slow",
    )


def test_every_field_of_a_policy_can_be_overridden(tmp_path: Path) -> None:
    values = {
        "roles": '["admin"]',
        "limit": '"none"',
        "burst": "1",
        "strict": "true",
        "limit_keys": '["1/day per tenant"]',
        "concurrency": "1",
        "cache_ttl": "1.5",
        "retries": "0",
        "timeout": "7",
        "soft_timeout": "6",
        "effect": '"read"',
        "queue": '"other"',
    }
    assert set(values) == set(ToolPolicy.model_fields)
    found = overridden(tmp_path, "[sms]\n" + "".join(f"{name} = {value}\n" for name, value in values.items()))
    assert (found.limit, found.queue, found.cache_ttl) == (None, "other", 1.5)


def test_a_soft_time_limit_is_measured_by_the_tools_own_time_limit(tmp_path: Path) -> None:
    # Given a tool that may take ten minutes
    # When the file gives it a soft limit above the default time limit, then it is taken
    assert overridden(tmp_path, "[sms]\nsoft_timeout = 500\n", timeout=600).soft_timeout == 500
    # And a tool that may not take as long refuses it
    with pytest.raises(ConfigurationError, match=r"\[sms\].*soft_timeout must be below timeout 60"):
        overridden(tmp_path, "[sms]\nsoft_timeout = 500\n")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[sms]\nlimmit = "1/day"\n', "[sms] limmit: "),
        ('[sms]\nlimit = "20ph"\n', "limit must be COUNT/PERIOD such as 20/hour or 10/minute, got '20ph'"),
        ('[sms]\nlimit = "0/hour"\n', "[sms] limit: "),
        ('[sms]\nlimit_keys = ["5/day"]\n', "a limit key must be RATE per KEY"),
        ('[sms]\nlimit_keys = "5/day per tenant"\n', "[sms] limit_keys: "),
        ("[sms]\nburst = 0\n", "[sms] burst: "),
        ("[sms]\nconcurrency = 0\n", "[sms] concurrency: "),
        ("[sms]\nretries = -1\n", "[sms] retries: "),
        ("[sms]\nretries = 101\n", "[sms] retries: "),
        ("[sms]\ncache_ttl = -1\n", "[sms] cache_ttl: "),
        ("[sms]\ntimeout = 0\n", "[sms] timeout: "),
        ("[sms]\ntimeout = 86401\n", "[sms] timeout: "),
        ("[sms]\ntimeout = nan\n", "[sms] timeout: "),
        ('[sms]\neffect = "maybe"\n', "[sms] effect: "),
        ('[sms]\nqueue = "No Queue"\n', "[sms] queue: "),
        ('[sms]\neffect = "write"\ncache_ttl = 5\n', "cache_ttl must be 0 for a tool with effect 'write'"),
        ('sms = "20/hour"\n', "sms must be a table of policy fields, got '20/hour'"),
        ("sms = []\n", "sms must be a table of policy fields, got []"),
        ('[[sms]]\nlimit = "1/day"\n', "sms must be a table of policy fields"),
        ("[sms\n", "is no TOML"),
    ],
)
def test_a_wrong_field_is_an_error_that_names_file_tool_and_field(tmp_path: Path, text: str, said: str) -> None:
    path = a_file(tmp_path, text)
    with pytest.raises(ConfigurationError) as wrong:
        policies.read_overrides(path)
    assert str(path) in str(wrong.value)
    assert said in str(wrong.value)


def test_a_missing_file_is_an_error_that_names_the_setting(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="SALESBOOST_TOOLS_FILE"):
        policies.read_overrides(tmp_path / "nowhere.toml")
    with pytest.raises(ConfigurationError, match="SALESBOOST_GROUPS_FILE"):
        policies.read_groups(tmp_path / "nowhere.toml")


def test_a_tool_that_nobody_has_may_be_named(tmp_path: Path) -> None:
    assert policies.read_overrides(a_file(tmp_path, '[tomorrow]\nlimit = "1/day"\n')) == {
        "tomorrow": {"limit": "1/day"}
    }


def test_the_shipped_files_are_right() -> None:
    # When the repository's own files are read
    tools = policies.read_overrides(ROOT / "config" / "tools.toml")
    groups = policies.read_groups(ROOT / "config" / "groups.toml")
    # Then the mission's limits are there
    assert {name: fields["limit"] for name, fields in tools.items()} == {
        "knowledge_retriever": "10/minute",
        "profile_reader": "20/minute",
        "compliance_check": "15/minute",
        "price_calculator": "30/minute",
        "stage_classifier": "10/minute",
        "crm_integration": "5/minute",
        "sms_outreach": "20/hour",
        "competitor_analysis": "5/minute",
    }
    assert isinstance(groups, dict)


def test_groups_are_read_in_their_order(tmp_path: Path) -> None:
    path = a_file(tmp_path, '[search]\ntools = ["b", "a", "c"]\n[other]\ntools = ["a"]\n')
    assert policies.read_groups(path) == {"search": ["b", "a", "c"], "other": ["a"]}


@pytest.mark.parametrize(
    "text",
    [
        "[search]\ntools = []\n",
        "[search]\n",
        '[search]\ntools = "a"\n',
        "[search]\ntools = [1]\n",
        '[search]\ntools = ["a"]\nepsilon = 0.5\n',
        'search = ["a"]\n',
    ],
)
def test_a_wrong_group_is_an_error_that_names_it(tmp_path: Path, text: str) -> None:
    path = a_file(tmp_path, text)
    with pytest.raises(ConfigurationError, match=rf"{path}: \[search\] must hold tools"):
        policies.read_groups(path)


STATED = ToolPolicy(
    limit="1/minute", limit_keys=("1/day per tenant",), strict=True, concurrency=2, cache_ttl=60, retries=4
)


def test_without_switches_a_policy_is_as_stated() -> None:
    assert policies.in_force(STATED, Settings()) == STATED


def test_limits_can_be_switched_off() -> None:
    found = policies.in_force(STATED, Settings(tool_rate_limit_enabled=False))
    assert found == STATED.model_copy(update={"limit": None, "limit_keys": (), "strict": False})
    assert found.rate is None


def test_the_cache_can_be_switched_off() -> None:
    assert policies.in_force(STATED, Settings(tool_cache_enabled=False)) == STATED.model_copy(update={"cache_ttl": 0.0})


@pytest.mark.parametrize(
    ("retries", "switches", "expected"),
    [
        (None, {}, 2),
        (None, {"tool_retry_max_attempts": 1}, 0),
        (None, {"tool_retry_max_attempts": 9}, 8),
        (4, {"tool_retry_max_attempts": 9}, 4),
        (0, {"tool_retry_max_attempts": 9}, 0),
        (4, {"tool_retry_enabled": False}, 0),
        (None, {"tool_retry_enabled": False, "tool_retry_max_attempts": 9}, 0),
    ],
)
def test_attempts_are_the_tools_own_or_the_fleets(retries: int | None, switches: dict[str, Any], expected: int) -> None:
    stated = STATED.model_copy(update={"retries": retries})
    assert policies.in_force(stated, Settings(**switches)).retries == expected


def test_a_policy_in_force_does_not_change_the_stated_one() -> None:
    before = STATED.model_dump()
    policies.in_force(
        STATED, Settings(tool_rate_limit_enabled=False, tool_cache_enabled=False, tool_retry_enabled=False)
    )
    assert STATED.model_dump() == before
