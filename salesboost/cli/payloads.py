"""Reads what commands are given as input."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import orjson
import typer


def read_payload(given: str | None, arguments: Sequence[str]) -> dict[str, Any]:
    """Return the payload that a command line states.

    Args:
        given: JSON, ``-`` for stdin, ``@FILE`` for a file, None for nothing.
        arguments: ``KEY=VALUE`` each, put over it.

    Raises:
        typer.BadParameter: It is no JSON object, or cannot be read.
    """
    payload = _object(given) if given is not None else {}
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if not key or not equals:
            raise typer.BadParameter(f"--arg must be KEY=VALUE, got {argument!r}")
        payload[key] = _value(value)
    return payload


def _object(given: str) -> dict[str, Any]:
    text = read_text(given) if given == "-" or given.startswith("@") else given
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as exc:
        raise typer.BadParameter(f'the payload must be a JSON object such as \'{{"sku": "A1"}}\': {exc}') from exc
    if not isinstance(value, dict):
        raise typer.BadParameter(f"the payload must be a JSON object, got {text.strip()[:60]}")
    return cast(dict[str, Any], value)


def _value(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text


def read_text(given: str) -> str:
    """Return the text of stdin for ``-``, else of a file; its name may begin with ``@``.

    Raises:
        typer.BadParameter: The file cannot be read or is no UTF-8.
    """
    try:
        return sys.stdin.read() if given == "-" else Path(given.removeprefix("@")).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise typer.BadParameter(f"cannot read {given.removeprefix('@')}: {exc}") from exc


def read_lines(given: str) -> list[Any]:
    """Return the JSON value of each line that is not empty.

    Raises:
        typer.BadParameter: A line is no JSON; the message says which.
    """
    values: list[Any] = []
    for number, line in enumerate(read_text(given).splitlines(), start=1):
        if line.strip():
            try:
                values.append(orjson.loads(line))
            except orjson.JSONDecodeError as exc:
                raise typer.BadParameter(f"line {number} of {given} is no JSON: {exc}; nothing was submitted") from exc
    return values
