"""The two exception trees and the codes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

import pytest

from salesboost import CallError, InputInvalid, PayloadTooLarge, SalesBoostError, ToolFailed, errors, faults
from salesboost.faults import (
    ConflictFault,
    InputFault,
    NotFoundFault,
    PermissionFault,
    ProviderLimited,
    SoftTimeLimit,
    ToolFault,
    TransientFault,
    is_retryable,
)


def _below(kind: type[BaseException]) -> Iterator[type[BaseException]]:
    for child in kind.__subclasses__():
        if child.__module__.startswith("salesboost."):
            yield child
            yield from _below(child)


def test_the_drawn_trees_are_the_trees() -> None:
    # Given the drawings in the modules' docstrings
    # When they are compared with the classes
    # Then each class is drawn with its code
    for module, base in ((errors, SalesBoostError), (faults, ToolFault)):
        drawn = dict(re.findall(r"(\w+) +([A-Z]+_[A-Z_]+) ", module.__doc__ or ""))
        classes = {kind.__name__: kind.code for kind in _below(base) if kind is not CallError}  # type: ignore[attr-defined]
        assert {name: drawn.get(name) for name in classes} == classes


def test_every_code_leads_back_to_its_class() -> None:
    # Given every error of a call
    # When its code is looked up
    # Then it is found, and no code stands for two
    kinds = [kind for kind in _below(CallError) if issubclass(kind, CallError)]
    assert {kind.code: CallError.from_code(kind.code) for kind in kinds} == {kind.code: kind for kind in kinds}
    assert max(Counter(kind.code for kind in kinds).values()) == 1


def test_a_code_of_a_newer_version_is_a_failure() -> None:
    # Given a code that this version does not know
    # When it is looked up
    # Then the caller gets the broadest class
    assert CallError.from_code("TOOL_FROM_THE_FUTURE") is ToolFailed


def test_too_large_a_payload_is_an_invalid_input() -> None:
    # Given code that catches invalid inputs
    # When a payload is too large
    # Then that code catches it
    with pytest.raises(InputInvalid) as caught:
        raise PayloadTooLarge("too large", tool="echo", tool_call_id="1", retry_after=None)
    assert (caught.value.tool, caught.value.tool_call_id, caught.value.retryable) == ("echo", "1", False)


@pytest.mark.parametrize(
    ("fault", "retryable", "no_effect"),
    [
        (ToolFault("x"), False, False),
        (InputFault("x"), False, True),
        (PermissionFault("x"), False, True),
        (NotFoundFault("x"), False, True),
        (ConflictFault("x"), False, True),
        (TransientFault("x"), True, False),
        (TransientFault("x", no_effect=True), True, True),
        (ProviderLimited("x", retry_after=3), True, True),
        (SoftTimeLimit("x"), True, False),
    ],
)
def test_a_fault_says_whether_to_try_again_and_whether_something_happened(
    fault: ToolFault, retryable: bool, no_effect: bool
) -> None:
    # Given a fault
    # When it is judged
    # Then it has an answer to both questions
    assert is_retryable(fault) is retryable
    assert fault.no_effect is no_effect


@pytest.mark.parametrize(
    ("exc", "retryable"),
    [
        (TimeoutError(), True),
        (ConnectionResetError(), True),
        (OSError(), True),
        (PermissionError(), False),
        (FileNotFoundError(), False),
        (ValueError(), False),
        (KeyError(), False),
    ],
)
def test_foreign_errors_are_retryable_when_the_network_raised_them(exc: Exception, retryable: bool) -> None:
    # Given an exception of Python's own
    # When it is judged
    # Then what may pass by itself is tried again
    assert is_retryable(exc) is retryable
