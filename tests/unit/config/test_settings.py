"""Settings: defaults, bounds, where they come from, and what is said about wrong ones."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from config import settings as settings_module
from config.settings import PREFIX, Settings, load, settings, variable
from salesboost.errors import ConfigurationError

SWITCHES: dict[str, Any] = {
    "TOOL_RATE_LIMIT_ENABLED": True,
    "TOOL_PARALLEL_ENABLED": True,
    "TOOL_PARALLEL_MAX_CONCURRENT": 5,
    "TOOL_BANDIT_ENABLED": False,
    "TOOL_BANDIT_EPSILON": 0.1,
    "TOOL_CACHE_ENABLED": True,
    "TOOL_RETRY_ENABLED": True,
    "TOOL_RETRY_MAX_ATTEMPTS": 3,
    "TOOL_RETRY_BASE_DELAY": 1.0,
}
"""The mission's names and defaults; people and their scripts know them."""

BOUNDS: list[tuple[str, list[str], list[str]]] = [
    # variable, values at the bounds, values beyond them or of another type
    ("SALESBOOST_NAMESPACE", ["a", "a-b_0", "x" * 32], ["", "A", "a b", "a:b", "{sb}", "x" * 33, "ä", "sb\n"]),
    ("SALESBOOST_LEASE", ["1", "3600"], ["0.99", "3601", "-1", "nan", "inf", "soon"]),
    ("SALESBOOST_RETENTION", ["1", "7776000"], ["0", "7776001", "nan"]),
    ("SALESBOOST_MAX_PAYLOAD", ["1024", "67108864"], ["1023", "67108865", "1024.5", "64k"]),
    ("SALESBOOST_MAX_RESULT", ["1024", "67108864"], ["1023", "67108865", ""]),
    ("SALESBOOST_MAX_CRASHES", ["1", "100"], ["0", "101"]),
    ("SALESBOOST_ADOPTED_ROLE", ["viewer", "a"], ["", "two words", " "]),
    ("SALESBOOST_SOFT_SHUTDOWN", ["0", "3600"], ["-0.1", "3601", "nan"]),
    ("SALESBOOST_EVENTS", ["true", "0", "off"], ["maybe", "2"]),
    ("SALESBOOST_LOG_LEVEL", ["debug", "info", "warning", "error"], ["trace", "INFO", ""]),
    ("SALESBOOST_LOG_FORMAT", ["json", "console"], ["xml"]),
    ("TOOL_RATE_LIMIT_ENABLED", ["true", "False", "1", "no"], ["maybe", ""]),
    ("TOOL_PARALLEL_ENABLED", ["yes", "OFF"], ["5"]),
    ("TOOL_PARALLEL_MAX_CONCURRENT", ["1", "10000"], ["0", "10001", "-1", "many", "1.5"]),
    ("TOOL_BANDIT_ENABLED", ["on", "0"], ["maybe"]),
    ("TOOL_BANDIT_EPSILON", ["0", "1", "0.5"], ["-0.01", "1.01", "nan", "10%"]),
    ("TOOL_CACHE_ENABLED", ["t", "f"], ["maybe"]),
    ("TOOL_RETRY_ENABLED", ["y", "n"], ["maybe"]),
    ("TOOL_RETRY_MAX_ATTEMPTS", ["1", "100"], ["0", "101", "3.5"]),
    ("TOOL_RETRY_BASE_DELAY", ["0", "3600"], ["-1", "3601", "nan"]),
]
UNBOUNDED = {"redis_url", "cache_url", "home", "data_dir", "crm_url", "tools_file", "groups_file"}
"""URLs and paths: whether there is something behind them is what `check` finds out."""


@pytest.mark.parametrize("name", SWITCHES)
def test_a_switch_keeps_its_name_and_its_default(name: str) -> None:
    found = getattr(load(), name.lower())
    assert found == SWITCHES[name]
    assert type(found) is type(SWITCHES[name])


def test_everything_else_has_the_documented_default() -> None:
    # When nothing is set
    found = load()
    # Then the ledger's and the processes' settings are these
    assert (found.namespace, found.home, found.adopted_role) == ("sb", Path("var"), "viewer")
    assert (found.max_payload, found.max_result) == (64 * 1024, 256 * 1024)
    assert (found.lease, found.retention, found.max_crashes, found.soft_shutdown) == (10, 86_400, 3, 10)
    assert (found.log_level, found.log_format, found.events) == ("info", "json", False)
    assert (found.redis_url, found.cache_url, found.crm_url) == (None, None, None)


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, good, _ in BOUNDS for value in good])
def test_a_value_at_its_bound_is_taken(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    load()


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, _, bad in BOUNDS for value in bad])
def test_a_value_beyond_its_bound_is_an_error_that_names_it(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    # Given a setting with a wrong value
    monkeypatch.setenv(name, value)
    # When the settings are read
    with pytest.raises(ConfigurationError) as wrong:
        load()
    # Then the error names the setting and the value
    assert f"{name.lower().removeprefix('salesboost_')} = {value!r}: " in str(wrong.value)


def test_every_setting_has_its_bounds_tested() -> None:
    assert {name for name, _, _ in BOUNDS} == {
        variable(field) for field in Settings.model_fields if field not in UNBOUNDED
    }


def test_all_wrong_values_are_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SALESBOOST_LEASE", "0")
    monkeypatch.setenv("TOOL_BANDIT_EPSILON", "2")
    with pytest.raises(ConfigurationError, match=r"lease = '0'.*tool_bandit_epsilon = '2'"):
        load()


@pytest.mark.parametrize(
    "name",
    [
        "SALESBOOST_REDIS_ULR",
        "TOOL_CACHE_ENABLE",
        "TOOL_BANDIT_POLICY",
        "TOOL_PARALLEL_",
        # A switch has no prefix: with one it would be taken for set, and be without effect.
        "SALESBOOST_TOOL_CACHE_ENABLED",
        "salesboost_leese",
        "Tool_Retry_Attempts",
    ],
)
def test_an_unknown_variable_is_an_error_that_names_it_and_the_known_ones(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "1")
    with pytest.raises(ConfigurationError, match=rf"unknown settings in the environment: {name}; known are .*LEASE"):
        load()


@pytest.mark.parametrize("name", ["TOOLBOX_HOME", "TOOL_DIR", "REDIS_URL", "SALESBOOSTER", "SALESBOOST_ROLE"])
def test_a_variable_that_is_not_ours_is_left_alone(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "1")
    load()


def test_the_file_is_read_and_the_environment_wins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # Given a file with settings and switches, and an environment with some of them
    path = a_file(tmp_path, 'namespace = "file"\nlease = 20\ntool_cache_enabled = false\ntool_retry_max_attempts = 7\n')
    monkeypatch.setenv("SALESBOOST_CONFIG", str(path))
    monkeypatch.setenv("SALESBOOST_NAMESPACE", "env")
    monkeypatch.setenv("TOOL_RETRY_MAX_ATTEMPTS", "9")
    # When they are read
    found = load()
    # Then the environment's stand over the file's, and the file's over the defaults
    assert (found.namespace, found.lease) == ("env", 20)
    assert (found.tool_cache_enabled, found.tool_retry_max_attempts, found.tool_retry_enabled) == (False, 9, True)


def test_a_switch_may_stand_in_the_file_under_its_own_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(
        "SALESBOOST_CONFIG", str(a_file(tmp_path, "TOOL_CACHE_ENABLED = false\nTOOL_BANDIT_EPSILON = 1\n"))
    )
    assert not load().tool_cache_enabled
    monkeypatch.setenv("TOOL_BANDIT_EPSILON", "0.5")
    assert load().tool_bandit_epsilon == 0.5


def test_a_file_in_the_repository_is_found(tmp_path: Path) -> None:
    # Given config/salesboost.toml
    assert load().lease == 10
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "salesboost.toml").write_text("lease = 30\n", encoding="utf-8")
    # When nothing names another file, then it is read
    assert load().lease == 30


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("leese = 10\n", "leese = 10"),
        ("[tools.sms]\nlimit = '1/day'\n", "tools = "),
        ("lease = 0\n", "lease = 0: "),
        ("lease = 'soon'\n", "lease = 'soon': "),
        ("lease = \n", "Invalid value"),
        ("lease = 1\nlease = 2\n", "Cannot overwrite"),
    ],
)
def test_a_wrong_file_is_an_error_that_names_file_and_key(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, said: str
) -> None:
    # Given a file with an unknown key, a wrong value or no TOML
    path = a_file(tmp_path, text)
    monkeypatch.setenv("SALESBOOST_CONFIG", str(path))
    # When it is read
    with pytest.raises(ConfigurationError) as wrong:
        load()
    # Then the error says where and what
    assert str(path) in str(wrong.value)
    assert said in str(wrong.value)


def test_a_file_that_is_no_text_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_bytes(b"\xff\xfe\x00lease")
    monkeypatch.setenv("SALESBOOST_CONFIG", str(path))
    with pytest.raises(ConfigurationError, match=str(path)):
        load()


@pytest.mark.parametrize("named", ["nowhere.toml", "."])
def test_a_named_file_that_is_missing_is_an_error(monkeypatch: pytest.MonkeyPatch, named: str) -> None:
    monkeypatch.setenv("SALESBOOST_CONFIG", named)
    with pytest.raises(ConfigurationError, match="SALESBOOST_CONFIG must name a TOML file"):
        load()


def test_settings_do_not_change() -> None:
    found = load()
    with pytest.raises(ValidationError, match="frozen"):
        found.lease = 1.0  # type: ignore[misc]


def test_settings_follow_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given settings that were read
    assert settings() is settings()
    before = settings()
    # When the environment changes
    monkeypatch.setenv("SALESBOOST_LEASE", "33")
    # Then they are read again
    assert settings().lease == 33
    assert settings() is not before


def test_no_server_is_named_when_nothing_names_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SALESBOOST_HOME", str(tmp_path))
    with pytest.raises(ConfigurationError, match="SALESBOOST_REDIS_URL"):
        _ = load().state_url


def test_the_servers_are_those_that_are_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SALESBOOST_REDIS_URL", "redis://state:1/0")
    assert load().state_url == "redis://state:1/0"
    assert load().cache_server_url is None
    monkeypatch.setenv("SALESBOOST_CACHE_URL", "redis://cache:1/0")
    assert load().cache_server_url == "redis://cache:1/0"


def test_the_crm_is_kept_in_the_home_folder_unless_a_url_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SALESBOOST_HOME", "/somewhere")
    assert load().crm_database == "sqlite:////somewhere/crm.sqlite3"
    monkeypatch.setenv("SALESBOOST_CRM_URL", "postgresql+psycopg://crm@db/crm")
    assert load().crm_database == "postgresql+psycopg://crm@db/crm"


@given(st.floats(), st.integers(), st.floats())
def test_whatever_is_accepted_is_within_bounds(lease: float, attempts: int, epsilon: float) -> None:
    try:
        found = Settings(lease=lease, tool_retry_max_attempts=attempts, tool_bandit_epsilon=epsilon)
    except ValidationError:
        assert not (1 <= lease <= 3600 and 1 <= attempts <= 100 and 0 <= epsilon <= 1)
    else:
        assert all(map(math.isfinite, (found.lease, found.tool_bandit_epsilon)))
        assert 1 <= found.lease <= 3600
        assert 1 <= found.tool_retry_max_attempts <= 100
        assert 0 <= found.tool_bandit_epsilon <= 1


def test_each_setting_is_described() -> None:
    assert Settings.__doc__ is not None
    assert [name for name in Settings.model_fields if f"        {name}: " not in Settings.__doc__] == []
    assert PREFIX == settings_module.PREFIX == "SALESBOOST_"


def a_file(folder: Path, text: str) -> Path:
    path = folder / "settings.toml"
    path.write_text(text, encoding="utf-8")
    return path
