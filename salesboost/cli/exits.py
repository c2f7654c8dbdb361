"""The exit codes, for scripts."""

from __future__ import annotations

from enum import IntEnum

from salesboost.errors import SalesBoostError


class Exit(IntEnum):
    """How a command ended."""

    OK = 0
    FAILED = 1
    """The call or its tool failed, or there is no such job."""
    USAGE = 2
    """The command line, the input or a setting is wrong."""
    MISSING = 3
    """Something is not installed."""
    LATER = 4
    """Over a limit, or no result in time: try again later."""
    AWAY = 5
    """The state server cannot be reached, or has no functions."""
    INTERRUPTED = 130
    """Ctrl-C."""


EPILOG = """Exit codes: 0 ok; 1 the call failed; 2 wrong usage, input or setting; 3 something is not installed; 4 over a
limit or no result yet, try again later; 5 the state server is away; 130 interrupted."""

_BY_CODE = {
    "SB_CONFIG": Exit.USAGE,
    "SB_TOOL_DEFINITION": Exit.USAGE,
    "SB_RESULT_TIMEOUT": Exit.LATER,
    "TOOL_INPUT_INVALID": Exit.USAGE,
    "TOOL_PAYLOAD_TOO_LARGE": Exit.USAGE,
    "TOOL_RATE_LIMITED": Exit.LATER,
}


def of_result(code: str) -> Exit:
    """Return the exit code for a result's error code."""
    return _BY_CODE.get(code, Exit.FAILED)


def of_error(error: SalesBoostError) -> Exit:
    """Return the exit code for an error that the client raised.

    An unavailable *provider* is in a result; an error that the client raises means the state server.
    """
    return Exit.AWAY if error.code == "TOOL_UNAVAILABLE" else of_result(error.code)
