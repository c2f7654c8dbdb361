"""Finds the tools: files of `tasks.tools`, installed packages by entry point, modules named on the command line."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from types import ModuleType
from typing import Any

from config import policies
from config.settings import Settings
from salesboost.definition import Tool
from salesboost.errors import ToolDefinitionError
from salesboost.policy import ToolPolicy

ENTRY_POINTS = "salesboost.tools"


@dataclass(frozen=True, slots=True)
class Registered:
    """A tool with the policy in force on this worker: code, then tools.toml, then the fleet's switches."""

    tool: Tool[Any, Any]
    policy: ToolPolicy


class Registry:
    """The tools that this process serves, by name."""

    def __init__(self, tools: Iterable[Tool[Any, Any]], settings: Settings) -> None:
        overrides = policies.read_overrides(settings.tools_file)
        self._tools: dict[str, Registered] = {}
        for tool in tools:
            if tool.name in self._tools and self._tools[tool.name].tool is not tool:
                raise ToolDefinitionError(f"two tools are named {tool.name}: rename one of them")
            stated = policies.apply(tool.policy, tool.name, overrides.get(tool.name, {}), settings.tools_file)
            self._tools[tool.name] = Registered(tool, policies.in_force(stated, settings))

    @classmethod
    def discover(cls, settings: Settings, modules: Iterable[str] = ()) -> Registry:
        """Import and register every tool there is.

        Args:
            settings: The settings in force.
            modules: Further modules, as given by ``--tools``.

        Raises:
            ToolDefinitionError: A module cannot be imported, holds no tool, or two tools share a name.
        """
        return cls([tool for module in _modules(modules) for tool in _tools_of(module)], settings)

    def __iter__(self) -> Iterator[Registered]:
        return iter(self._tools.values())

    def __len__(self) -> int:
        return len(self._tools)

    def get(self, name: str) -> Registered | None:
        """Return a tool by its name, None when this process does not know it."""
        return self._tools.get(name)

    def names(self) -> list[str]:
        """Return the tools' names, sorted."""
        return sorted(self._tools)

    def queues(self) -> list[str]:
        """Return the queues that the tools' policies name, sorted."""
        return sorted({registered.policy.queue for registered in self})


def _modules(named: Iterable[str]) -> Iterator[ModuleType]:
    home = import_module("tasks.tools")
    for info in sorted(pkgutil.iter_modules(home.__path__), key=lambda info: info.name):
        yield _import(f"{home.__name__}.{info.name}")
    for point in sorted(entry_points(group=ENTRY_POINTS), key=lambda point: point.name):
        yield _import(point.module)
    for name in named:
        yield _import(name)


def _import(name: str) -> ModuleType:
    try:
        return import_module(name)
    except ToolDefinitionError:
        raise
    except Exception as exc:
        # The edge to foreign modules: whatever one raises, nothing was registered.
        raise ToolDefinitionError(f"the tool module {name} cannot be imported: {type(exc).__name__}: {exc}") from exc


def _tools_of(module: ModuleType) -> list[Tool[Any, Any]]:
    found: list[Tool[Any, Any]] = [value for value in vars(module).values() if isinstance(value, Tool)]
    if not found:
        raise ToolDefinitionError(f"the module {module.__name__} holds no @tool: decorate one or remove the module")
    return found
