"""Only the SDK may reach a producer's site-packages, and works there on its core dependencies alone."""

import os
import re
import subprocess
import sys
import sysconfig
import venv
import zipfile
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
CORE = ["orjson", "pydantic", "redis"]

# The wheel is built and installed once, so these tests keep to one test process.
pytestmark = [pytest.mark.xdist_group("wheel"), pytest.mark.timeout(180)]


def run(*command: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run *command* in *cwd* with nothing of this process's Python environment but *environment*."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COV"))}
    return subprocess.run(
        list(command),
        check=False,
        cwd=cwd,
        env=inherited | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


def with_requirements(names: list[str]) -> dict[str, Distribution]:
    """Return the installed distributions called *names* and all that they require, without extras."""
    found: dict[str, Distribution] = {}
    wanted = list(names)
    while wanted:
        name = wanted.pop()
        if name in found:
            continue
        found[name] = distribution(name)
        requirements = [Requirement(text) for text in found[name].requires or []]
        wanted += [r.name for r in requirements if r.marker is None or r.marker.evaluate({"extra": ""})]
    return found


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the wheel, built without an index: the back end is part of the development lock."""
    directory = tmp_path_factory.mktemp("wheel")
    built = run(
        *(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", directory, ROOT),
        cwd=directory,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    (path,) = directory.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def producer(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the root of a virtual environment that holds the wheel and its core dependencies only.

    The dependencies are copied from this environment and the wheel is put in by `installer`, so that no
    index, no pip and no ensurepip is needed.
    """
    root = tmp_path_factory.mktemp("producer")
    venv.create(root, with_pip=False, symlinks=True)
    site_packages = Path(sysconfig.get_path("purelib", "venv", {"base": str(root)}))
    for found in with_requirements(CORE).values():
        for file in found.files or []:
            if ".." not in file.parts and file.suffix != ".pyc":
                target = site_packages / file
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(Path(str(file.locate())).read_bytes())
    installed = run(
        *(root / "bin" / "python", "-m", "installer", wheel),
        cwd=root,
        PYTHONPATH=sysconfig.get_path("purelib"),
    )
    assert installed.returncode == 0, installed.stdout + installed.stderr
    return root


def test_the_wheel_holds_the_sdk_alone(wheel: Path) -> None:
    # When the wheel is opened
    names = zipfile.ZipFile(wheel).namelist()

    # Then the SDK and its metadata are all there is, typed and licensed
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"salesboost"}
    assert "salesboost/py.typed" in names
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


def test_the_wheel_requires_its_core_dependencies_and_nothing_else(producer: Path) -> None:
    # When an empty environment that holds the wheel is asked what the wheel requires
    asked = run(
        *(producer / "bin" / "python", "-c"),
        "from importlib.metadata import requires; print(*requires('salesboost'), sep='\\n')",
        cwd=producer,
    )

    # Then it is the core, each other requirement being an extra's
    required = [line for line in asked.stdout.splitlines() if "extra ==" not in line]
    assert sorted(re.split(r"[<>=!~]", line)[0] for line in required) == CORE, asked.stderr


def test_every_public_name_imports_in_an_empty_environment_without_server_packages(producer: Path) -> None:
    # When a producer imports the SDK and touches each of its public names
    script = """
import sys, salesboost
for name in getattr(salesboost, "__all__", dir(salesboost)):
    getattr(salesboost, name)
print(salesboost.__file__)
foreign = {"billiard", "celery", "config", "kombu", "rich", "scheduler", "tasks", "typer", "workers"}
print(sorted(foreign & set(sys.modules)))
"""
    imported = run(producer / "bin" / "python", "-c", script, cwd=producer)

    # Then it is the installed one, and none of the server side came with it
    assert imported.returncode == 0, imported.stderr
    location, foreign = imported.stdout.splitlines()
    assert Path(location).is_relative_to(producer)
    assert foreign == "[]"


@pytest.mark.skipif(
    not any((ROOT / "salesboost" / name).exists() for name in ("cli.py", "cli/__init__.py")),
    reason="salesboost.cli is not written yet",
)
def test_the_command_without_its_extra_names_the_remedy(producer: Path) -> None:
    # When the command is run where typer and rich are not installed
    answer = run(producer / "bin" / "salesboost", "--help", cwd=producer)

    # Then it fails with what to install, not with a traceback
    assert answer.returncode != 0
    assert "salesboost[cli]" in answer.stderr
    assert "Traceback" not in answer.stderr
