"""``python -m workers check``: says what a worker would stand on, and starts nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console

from config import policies
from config import settings as settings_module
from config.settings import Settings
from salesboost.errors import ConfigurationError
from scheduler.checks import Finding, check_servers
from tasks.registry import Registry

_STYLES = {"ok": "green", "warning": "yellow", "error": "red"}


def run_check(tool_modules: Sequence[str] = ()) -> int:
    """Print every finding and return 1 when one is an error."""
    console = Console(soft_wrap=True)
    findings = list(_findings(tool_modules))
    for finding in findings:
        console.print(
            f"{finding.level:>7}  {finding.about}: {finding.message}",
            style=_STYLES[finding.level],
            markup=False,
        )
    return int(any(finding.level == "error" for finding in findings))


def _findings(tool_modules: Sequence[str]) -> Iterator[Finding]:
    try:
        settings = settings_module.load()
    except ConfigurationError as exc:
        yield Finding("error", "settings", str(exc))
        return
    yield Finding("ok", "settings", str(settings_module.config_file() or "defaults and the environment"))
    yield from _check_tools(settings, tool_modules)
    yield from check_servers(settings)


def _check_tools(settings: Settings, tool_modules: Sequence[str]) -> Iterator[Finding]:
    names: list[str] = []
    try:
        names = Registry.discover(settings, tool_modules).names()
        yield Finding("ok", "tools", ", ".join(names))
    except ConfigurationError as exc:
        yield Finding("error", "tools", str(exc))
    try:
        groups = policies.read_groups(settings.groups_file)
    except ConfigurationError as exc:
        yield Finding("error", "tool groups", str(exc))
        return
    for group, members in groups.items():
        unknown = sorted(set(members) - set(names))
        if names and unknown:
            yield Finding(
                "warning",
                "tool groups",
                f"{settings.groups_file}: [{group}] names {', '.join(unknown)}, which this worker does not serve: "
                "another must, or calls that are routed there find no tool",
            )
