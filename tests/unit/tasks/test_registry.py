"""Discovery: which tools a process serves, and under which policy."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from config.settings import Settings
from salesboost import tool
from salesboost.errors import ConfigurationError, ToolDefinitionError
from tasks.registry import Registry
from tests.process import process_tools

MODULE = '''
from pydantic import BaseModel
from salesboost import ToolContext, tool

class Nothing(BaseModel):
    """Nothing."""

@tool(name="{name}", limit="7/minute")
def run(args: Nothing, ctx: ToolContext) -> Nothing:
    """Do nothing."""
    return args
'''


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the path for modules of a test's own."""
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    yield tmp_path  # type: ignore[misc]
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_a_new_tool_is_one_file(modules: Path) -> None:
    # Given a module with a tool, when it is named, then the tool is served with its policy
    (modules / "extra_tools.py").write_text(MODULE.format(name="extra"))
    registry = Registry.discover(Settings(), ["extra_tools"])
    found = registry.get("extra")
    assert found
    assert found.policy.limit == "7/minute"
    assert {"extra", "price_calculator"} <= set(registry.names())
    assert registry.queues() == ["default"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import nothing_like_this", "the tool module bad_tools cannot be imported: .*No module named 'nothing_like_this'"),
        ("x = 1", "the module bad_tools holds no @tool: decorate one or remove the module"),
        ("raise RuntimeError('boom')", "the tool module bad_tools cannot be imported: .*boom"),
        ("def (", "the tool module bad_tools cannot be imported: "),
        (MODULE.format(name="price_calculator"), "two tools are named price_calculator: rename one of them"),
        (MODULE.format(name="Bad Name"), "a tool's name must be lower case"),
    ],
)
def test_a_module_that_cannot_be_served_is_named_with_the_reason(modules: Path, text: str, message: str) -> None:
    # Given a module that is wrong, when it is discovered, then the error names it
    (modules / "bad_tools.py").write_text(text)
    with pytest.raises(ToolDefinitionError, match=message):
        Registry.discover(Settings(), ["bad_tools"])


def test_a_tool_imported_by_another_module_is_the_same_tool() -> None:
    # Given the same tool twice, then it is registered once
    registry = Registry([process_tools.note, process_tools.note], Settings())
    assert registry.names() == ["note"]


def test_the_tools_file_is_put_over_the_code(tmp_path: Path) -> None:
    # Given a file that overrides each field of a policy
    file = tmp_path / "tools.toml"
    file.write_text(
        '[note]\nlimit = "3/hour"\nburst = 2\nstrict = true\nlimit_keys = ["5/day per phone"]\nconcurrency = 4\n'
        'cache_ttl = 9\nretries = 7\ntimeout = 30\nsoft_timeout = 20\neffect = "read"\nqueue = "slow"\nroles = ["sdr"]\n'
    )
    # When the tool is registered, then its policy is the file's
    found = Registry([process_tools.note], Settings(tools_file=file)).get("note")
    assert found
    assert found.policy.model_dump() == {
        "roles": frozenset({"sdr"}), "limit": "3/hour", "burst": 2, "strict": True, "limit_keys": ("5/day per phone",),
        "concurrency": 4, "cache_ttl": 9.0, "retries": 7, "timeout": 30.0, "soft_timeout": 20.0, "effect": "read",
        "queue": "slow",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[note]\nlimits = '3/hour'", r"\[note\] limits: Extra inputs are not permitted"),
        ("[note]\nlimit = '20ph'", r"\[note\] limit: .*limit must be COUNT/PERIOD such as 20/hour.*got '20ph'"),
        ("[note]\nconcurrency = 0", r"\[note\] concurrency: Input should be greater than or equal to 1"),
        ("[note]\ntimeout = 10\nsoft_timeout = 20", r"soft_timeout must be below timeout 10.0, got 20.0"),
        ("[note]\neffect = 'write'\ncache_ttl = 5", r"cache_ttl must be 0 for a tool with effect 'write'"),
        ("note = 5", r"note must be a table of policy fields, got 5"),
        ("[note", r"is no TOML"),
    ],
)
def test_a_tools_file_that_is_wrong_is_named_with_the_field(tmp_path: Path, text: str, message: str) -> None:
    # Given a file with an error, when tools are registered, then the message names file, tool and field
    file = tmp_path / "tools.toml"
    file.write_text(text)
    with pytest.raises(ConfigurationError, match=message) as caught:
        Registry([process_tools.note], Settings(tools_file=file))
    assert str(file) in str(caught.value)


def test_a_tools_file_that_is_missing_is_named_with_the_remedy(tmp_path: Path) -> None:
    # Given no file, when tools are registered, then the message says what to set
    with pytest.raises(ConfigurationError, match="cannot be read.*set SALESBOOST_TOOLS_FILE"):
        Registry([], Settings(tools_file=tmp_path / "nowhere.toml"))


def test_an_override_of_a_tool_that_is_not_here_is_allowed(tmp_path: Path) -> None:
    # Given a file for the whole fleet, when a process serves one of its tools, then the others do no harm
    file = tmp_path / "tools.toml"
    file.write_text('[elsewhere]\nlimit = "1/day"\n')
    assert Registry([process_tools.note], Settings(tools_file=file)).names() == ["note"]


def test_the_shipped_tools_file_names_the_limits_of_the_mission() -> None:
    # Given the repository's own file, then the eight tools have the limits they were promised
    from config import policies

    limits = {tool: fields.get("limit") for tool, fields in policies.read_overrides(Settings().tools_file).items()}
    assert limits == {
        "knowledge_retriever": "10/minute", "profile_reader": "20/minute", "compliance_check": "15/minute",
        "price_calculator": "30/minute", "stage_classifier": "10/minute", "crm_integration": "5/minute",
        "sms_outreach": "20/hour", "competitor_analysis": "5/minute",
    }  # fmt: skip


def test_a_definition_that_is_wrong_says_so_when_it_is_made() -> None:
    # Given a policy that cannot be, when a tool is decorated with it, then the error names the tool
    with pytest.raises(ToolDefinitionError, match="the policy of tool odd is wrong"):
        tool(name="odd", limit="fast")
