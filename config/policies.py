"""Reads `tools.toml` and puts it over the policies that tools state in code."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from config.settings import Settings
from salesboost.errors import ConfigurationError
from salesboost.policy import MAX_TIMEOUT, ToolPolicy


class _Group(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    tools: list[str] = Field(min_length=1)


def read_overrides(path: Path) -> dict[str, dict[str, Any]]:
    """Return the policy fields of each tool that *path* names.

    Raises:
        ConfigurationError: The file is missing, is no TOML, or holds something else than tables of policy fields.
    """
    tables = _read(path, "SALESBOOST_TOOLS_FILE")
    for tool, fields in tables.items():
        # Whether it fits what the tool states in code, `apply` will say; its timeout may be any.
        apply(ToolPolicy(timeout=MAX_TIMEOUT), tool, fields, path)
    return tables


def read_groups(path: Path) -> dict[str, list[str]]:
    """Return the tools of each group that *path* names.

    Raises:
        ConfigurationError: The file is missing, is no TOML, or a group is no table with a list of tools.
    """
    groups: dict[str, list[str]] = {}
    for name, table in _read(path, "SALESBOOST_GROUPS_FILE").items():
        try:
            groups[name] = _Group.model_validate(table).tools
        except ValidationError as exc:
            raise ConfigurationError(
                f'{path}: [{name}] must hold tools = ["name", …] and nothing else, got {table!r}'
            ) from exc
    return groups


def _read(path: Path, variable: str) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise ConfigurationError(f"{path} cannot be read: {exc}; set {variable}") from exc
    except tomllib.TOMLDecodeError as exc:
        raise ConfigurationError(f"{path} is no TOML: {exc}") from exc


def apply(policy: ToolPolicy, tool: str, fields: dict[str, Any], path: Path) -> ToolPolicy:
    """Return *policy* with *fields* put over it.

    Raises:
        ConfigurationError: A field is unknown or out of bounds.
    """
    if not isinstance(fields, dict):
        raise ConfigurationError(f"{path}: {tool} must be a table of policy fields, got {fields!r}")
    try:
        return policy.overridden(fields)
    except ValidationError as exc:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'policy'}: {e['msg']}" for e in exc.errors())
        raise ConfigurationError(f"{path}: [{tool}] {wrong}") from exc


def in_force(policy: ToolPolicy, settings: Settings) -> ToolPolicy:
    """Return *policy* as the fleet's switches leave it."""
    changes: dict[str, Any] = {}
    if not settings.tool_rate_limit_enabled:
        changes |= {"limit": None, "limit_keys": (), "strict": False}
    if not settings.tool_cache_enabled:
        changes |= {"cache_ttl": 0.0}
    if not settings.tool_retry_enabled:
        changes |= {"retries": 0}
    elif policy.retries is None:
        changes |= {"retries": settings.tool_retry_max_attempts - 1}
    return policy.model_copy(update=changes)
