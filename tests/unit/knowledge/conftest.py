"""A home for knowledge bases and a folder for documents, fresh for each test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.knowledge import embedder

Write = Callable[[str, str | bytes], Path]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the directory that `SALESBOOST_HOME` names; nothing is in it."""
    path = tmp_path / "home"
    monkeypatch.setenv("SALESBOOST_HOME", str(path))
    return path


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    """Give an empty folder for documents."""
    path = tmp_path / "documents"
    path.mkdir()
    return path


@pytest.fixture
def write(documents: Path) -> Write:
    """Give a function that writes a file in `documents`, below folders that it makes."""

    def write_file(name: str, content: str | bytes) -> Path:
        path = documents / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write_file


@pytest.fixture(autouse=True)
def _without_the_optional_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the tests the same whether the optional packages are installed or not."""
    monkeypatch.setattr(embedder, "installed", lambda: None)
