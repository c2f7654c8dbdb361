"""What producers and tool authors import; the only package in the wheel.

Names are loaded when first used, so that importing `salesboost` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from salesboost.context import Effect as Effect
    from salesboost.context import ToolContext as ToolContext
    from salesboost.definition import Tool as Tool
    from salesboost.definition import tool as tool

_HOME = {
    "Effect": "context",
    "Tool": "definition",
    "ToolContext": "context",
    "tool": "definition",
}


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value
