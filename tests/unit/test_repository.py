"""What must hold for the files of the repository themselves; `make check` runs this module too."""

import os
import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# The packages come from whatever index the installer is set up for; no file may prescribe one.
REGISTRY_HOST = re.compile(rb"pypi\.org|pythonhosted\.org|npmjs\.(?:org|com)|yarnpkg\.com|crates\.io")
# Directories of the machine that a file was written on.
MACHINE_PATH = re.compile(rb"(?<![\w.~*}-])/(?:root|work|Users|home)/")

LOCKS = ["requirements/dev.lock", "requirements/server.lock"]
PIN = re.compile(r"[a-z0-9-]+==[\w.+!]+(?: ; [^\\#]+)? \\|    --hash=sha256:[0-9a-f]{64}(?: \\)?")


@cache
def repository_files() -> tuple[Path, ...]:
    """Return the files that git tracks or would track."""
    # safe.directory: the tests may run as another user than the clone's owner.
    list_files = ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z"]
    list_files += ["--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(list_files, cwd=ROOT, check=True, capture_output=True, timeout=60).stdout
    except (FileNotFoundError, subprocess.CalledProcessError) as exc:
        pytest.skip(f"not a git checkout: {exc}")
    paths = [ROOT / os.fsdecode(name) for name in listed.split(b"\0") if name]
    return tuple(path for path in paths if path.is_file() and not path.is_symlink())


def lines_with(pattern: re.Pattern[bytes]) -> list[str]:
    """Return ``path:number: line`` for each line of the text files that *pattern* is found in."""
    return [
        f"{path.relative_to(ROOT)}:{number}: {line.decode(errors='replace').strip()[:120]}"
        for path in repository_files()
        if b"\0" not in (content := path.read_bytes()) and pattern.search(content)
        for number, line in enumerate(content.splitlines(), start=1)
        if pattern.search(line)
    ]


def test_no_file_names_a_package_registry() -> None:
    assert lines_with(REGISTRY_HOST) == []


def test_no_file_names_a_path_of_the_machine_it_was_written_on() -> None:
    assert lines_with(MACHINE_PATH) == []


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_holds_pins_and_hashes_and_nothing_else(lock: str) -> None:
    # Given a lock file
    lines = (ROOT / lock).read_text(encoding="utf-8").splitlines()

    # Then each line is a pin or a hash: no comment, no option, no URL
    assert lines
    assert [line for line in lines if not PIN.fullmatch(line)] == []
    assert not any("http" in line for line in lines)


def test_the_server_lock_is_a_part_of_the_development_lock() -> None:
    # Given the pins of both locks, without their environment markers
    dev, server = (
        set(re.findall(r"^[a-z0-9-]+==[^ ]+", (ROOT / lock).read_text(encoding="utf-8"), re.MULTILINE))
        for lock in LOCKS
    )

    # Then what the tests saw is what the servers run on
    assert server - dev == set()


def test_continuous_integration_runs_what_a_contributor_runs() -> None:
    # Given the script of the continuous integration
    script = ROOT / ".ci" / "run"

    # Then it can be executed and calls the two targets
    assert os.access(script, os.X_OK)
    commands = re.findall(r"^make (\w+)\b", script.read_text(encoding="utf-8"), re.MULTILINE)
    assert commands == ["check", "test"]
