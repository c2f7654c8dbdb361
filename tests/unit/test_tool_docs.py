"""The examples of docs/tools print what the pages say.

The ```python blocks of a page run in order in one namespace; a ```text block that follows one is its output.
"""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs" / "tools"
EXAMPLE = re.compile(r"^```python\n(.*?)^```$(?:\s*^```text\n(.*?)^```$)?", re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.stem)
def test_the_examples_of_the_page_print_what_it_says(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a reader's fresh home directory
    monkeypatch.setenv("SALESBOOST_HOME", str(tmp_path))
    for name in ("SALESBOOST_DATA_DIR", "SALESBOOST_CRM_URL"):
        monkeypatch.delenv(name, raising=False)
    examples = list(EXAMPLE.finditer(page.read_text(encoding="utf-8")))
    assert examples, f"{page.name} has no ```python block"

    namespace: dict[str, object] = {"__name__": "__main__"}
    for example in examples:
        # When an example runs
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(example[1], str(page), "exec"), namespace)

        # Then it prints what stands below it
        if example[2] is not None:
            assert printed.getvalue() == example[2]
