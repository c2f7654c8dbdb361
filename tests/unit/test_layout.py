"""The folders with generic names must be ours, whatever else is installed, and files stay small."""

from importlib.metadata import packages_distributions
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SERVER_PACKAGES = ["config", "gateway", "scheduler", "tasks", "workers"]
LINES_AT_MOST = 400


@pytest.mark.parametrize("name", [*SERVER_PACKAGES, "tests"])
def test_a_package_with_a_generic_name_resolves_to_this_repository(name: str) -> None:
    # Given a name that other distributions use too
    # When it is looked up
    spec = find_spec(name)

    # Then it is ours. Not `is_relative_to(ROOT)`: the virtual environment usually lives below ROOT.
    assert spec is not None, f"{name} is not importable"
    assert spec.origin == str(ROOT / name / "__init__.py")


def test_no_installed_distribution_carries_a_package_by_one_of_our_names() -> None:
    # Given an entry point such as `celery` or `salesboost`, which looks in site-packages before our root
    # When the installed distributions are asked for their top-level names
    installed = packages_distributions()

    # Then none of them would shadow ours
    assert {name: installed[name] for name in SERVER_PACKAGES if name in installed} == {}


def test_no_file_of_a_package_has_grown_into_two_ideas() -> None:
    # Given every Python file of the SDK and of the server packages
    files = [path for name in ["salesboost", *SERVER_PACKAGES] for path in (ROOT / name).rglob("*.py")]

    # When its lines are counted
    lengths = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in files}

    # Then none is over the cap
    assert lengths
    assert {path: lines for path, lines in lengths.items() if lines > LINES_AT_MOST} == {}
