"""Discovery: which tools a process serves, and under which policy."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.settings import Settings
from salesboost import tool
from salesboost.errors import ToolDefinitionError
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
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the path for modules of a test's own."""
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    yield tmp_path
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
        ("import nothing_like_this", "tool module bad_tools cannot be imported: .*No module named 'nothing_like_this'"),
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


def test_a_definition_that_is_wrong_says_so_when_it_is_made() -> None:
    # Given a policy that cannot be, when a tool is decorated with it, then the error names the tool
    with pytest.raises(ToolDefinitionError, match="the policy of tool odd is wrong"):
        tool(name="odd", limit="fast")
