"""The README's first example, run against a real stack, prints what the README says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from config.settings import ROOT, load
from tasks.knowledge.ingest import add
from tasks.knowledge.locations import DEFAULT_KB
from workers.stack import Stack


def test_the_first_example_prints_what_the_readme_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a stack on the shipped documents
    monkeypatch.setenv("SALESBOOST_HOME", str(tmp_path))
    add(DEFAULT_KB, [ROOT / "examples" / "documents"])
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    snippet, printed = re.findall(r"```(?:python|text)\n(.*?)```", readme, flags=re.DOTALL)[:2]
    assert len([line for line in snippet.splitlines() if line]) <= 15
    with Stack(load(), workers=1, concurrency=2, beat=False) as stack:
        # When the example runs as a producer would run it
        done = subprocess.run(
            [sys.executable, "-c", snippet],
            env={**os.environ, **stack.environment()},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
    # Then
    assert done.stdout == printed
