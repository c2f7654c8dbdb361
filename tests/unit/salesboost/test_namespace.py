"""The public names, and what importing them costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

import salesboost
from salesboost import errors, faults

NAMES = [
    "ArmStatistics",
    "AsyncJobHandle",
    "AsyncToolClient",
    "Audit",
    "CallCancelled",
    "CallDead",
    "CallError",
    "CallExpired",
    "CallSpec",
    "ConfigurationError",
    "ConflictFault",
    "Effect",
    "ErrorInfo",
    "Explanation",
    "IdempotencyConflict",
    "InputFault",
    "InputInvalid",
    "JobEvent",
    "JobHandle",
    "JobNotFound",
    "JobState",
    "NotFoundFault",
    "OutcomeUnknown",
    "PayloadTooLarge",
    "PermissionFault",
    "ProviderLimited",
    "RateLimitError",
    "ResultTimeout",
    "ResultTooLarge",
    "SalesBoostError",
    "SoftTimeLimit",
    "Tool",
    "ToolClient",
    "ToolContext",
    "ToolDefinitionError",
    "ToolFailed",
    "ToolFault",
    "ToolForbidden",
    "ToolInfo",
    "ToolNotFound",
    "ToolResult",
    "ToolStatistics",
    "ToolTimeout",
    "ToolUnavailable",
    "TransientFault",
    "__version__",
    "tool",
]


def _imported_after(code: str) -> set[str]:
    program = f"import sys\n{code}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    return set(done.stdout.splitlines()[-1].split())


def test_the_public_names_are_these_and_all_exist() -> None:
    # Given the list that UPGRADING.md is held to
    # When the package is asked for its names
    # Then they are exactly these, each one leads somewhere, and `dir` shows them
    assert salesboost.__all__ == sorted(NAMES)
    assert all(getattr(salesboost, name) is not None for name in NAMES)
    assert set(NAMES) <= set(dir(salesboost))


def test_every_exception_is_public() -> None:
    # Given the exceptions of both trees
    # When they are looked for in the namespace
    # Then each one is there
    for module, base in ((errors, errors.SalesBoostError), (faults, faults.ToolFault)):
        classes = {name for name, kind in vars(module).items() if isinstance(kind, type) and issubclass(kind, base)}
        assert classes <= set(NAMES)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    # Given a name with a typing mistake
    # When it is used
    # Then Python says so as always
    with pytest.raises(AttributeError, match="ToolCleint"):
        _ = salesboost.ToolCleint  # pyright: ignore[reportAttributeAccessIssue]


def test_importing_the_package_imports_no_dependency() -> None:
    # Given a fresh interpreter
    # When the package, its errors and its faults are imported
    modules = _imported_after("import salesboost; salesboost.ToolNotFound; salesboost.TransientFault")

    # Then neither redis, pydantic, orjson nor asyncio came along
    assert modules.isdisjoint({"redis", "pydantic", "orjson", "asyncio", "typer", "rich"})


def test_a_tool_package_does_not_import_redis() -> None:
    # Given a fresh interpreter
    # When everything that a tool is made of is imported
    modules = _imported_after("from salesboost import tool, ToolContext, TransientFault")

    # Then redis did not come along
    assert "redis" not in modules
    assert "celery" not in modules


def test_help_imports_neither_redis_nor_rich() -> None:
    # Given a fresh interpreter
    # When the command line's help is printed
    modules = _imported_after("from salesboost.cli import app; app.run(['--help'])")

    # Then what only commands need did not come along
    assert modules.isdisjoint({"redis", "pydantic", "rich.console", "asyncio"})
