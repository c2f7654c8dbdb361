"""What producers and tool authors import; the only package in the wheel.

Names are loaded when first used, so that importing `salesboost` costs next to nothing: neither redis nor pydantic is
imported before a name that needs it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from salesboost.aio import AsyncToolClient
    from salesboost.client import ToolClient
    from salesboost.context import Effect, ToolContext
    from salesboost.definition import Tool, tool
    from salesboost.errors import (
        CallCancelled,
        CallDead,
        CallError,
        CallExpired,
        ConfigurationError,
        IdempotencyConflict,
        InputInvalid,
        JobNotFound,
        OutcomeUnknown,
        PayloadTooLarge,
        RateLimitError,
        ResultTimeout,
        ResultTooLarge,
        SalesBoostError,
        ToolDefinitionError,
        ToolFailed,
        ToolForbidden,
        ToolNotFound,
        ToolTimeout,
        ToolUnavailable,
    )
    from salesboost.faults import (
        ConflictFault,
        InputFault,
        NotFoundFault,
        PermissionFault,
        ProviderLimited,
        SoftTimeLimit,
        ToolFault,
        TransientFault,
    )
    from salesboost.handle import AsyncJobHandle, JobHandle
    from salesboost.models import Audit, ErrorInfo, Explanation, JobEvent, JobState, ToolInfo, ToolResult
    from salesboost.routing import ArmStatistics
    from salesboost.statistics import ToolStatistics
    from salesboost.submissions import CallSpec

    __version__: str

__all__ = [
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

_HOMES = {
    "aio": ("AsyncToolClient",),
    "client": ("ToolClient",),
    "context": ("Effect", "ToolContext"),
    "definition": ("Tool", "tool"),
    "faults": (
        "ConflictFault",
        "InputFault",
        "NotFoundFault",
        "PermissionFault",
        "ProviderLimited",
        "SoftTimeLimit",
        "ToolFault",
        "TransientFault",
    ),
    "handle": ("AsyncJobHandle", "JobHandle"),
    "models": ("Audit", "ErrorInfo", "Explanation", "JobEvent", "JobState", "ToolInfo", "ToolResult"),
    "routing": ("ArmStatistics",),
    "statistics": ("ToolStatistics",),
    "submissions": ("CallSpec",),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        value: Any = version("salesboost")
    elif name in __all__:
        value = getattr(import_module(f"{__name__}.{_HOME.get(name, 'errors')}"), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
