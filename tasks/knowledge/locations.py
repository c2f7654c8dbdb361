"""Where knowledge bases lie and how they are named."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from salesboost.faults import InputFault
from tasks.locations import home

DEFAULT_KB: Final = "default"
"""The knowledge base that a query without `kb` asks."""

KB_PATTERN: Final = r"^[a-z0-9][a-z0-9_-]{0,63}$"
_SUFFIX: Final = ".sqlite3"


def folder() -> Path:
    """Return the folder that holds one file for each knowledge base: ``knowledge`` in `home`."""
    return home() / "knowledge"


def kb_file(kb: str) -> Path:
    """Return the file of the knowledge base *kb*, which need not exist.

    Raises:
        InputFault: The name is not one that a knowledge base can have.
    """
    if not re.fullmatch(KB_PATTERN, kb):
        raise InputFault(
            f"kb must be 1 to 64 lower case letters, digits, - and _, beginning with a letter or digit, got {kb!r}"
        )
    return folder() / f"{kb}{_SUFFIX}"


def kb_files() -> dict[str, Path]:
    """Return the files that are there, by the name of their knowledge base, sorted."""
    return {path.stem: path for path in sorted(folder().glob(f"*{_SUFFIX}")) if re.fullmatch(KB_PATTERN, path.stem)}
