"""Every setting of the server side, typed and bounded, from one TOML file and the environment.

The environment wins. A file is read from ``$SALESBOOST_CONFIG``, else ``config/salesboost.toml`` when it is there.
Unknown keys are errors in both. The switches ``TOOL_*`` keep their well-known names; everything else is
``SALESBOOST_<FIELD>`` in the environment and ``field`` in the file.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from salesboost import locate
from salesboost.errors import ConfigurationError

ROOT: Final = Path(__file__).resolve().parents[1]
"""The repository, or the image's application folder."""

PREFIX: Final = "SALESBOOST_"
SWITCH_GROUPS: Final = ("TOOL_RATE_LIMIT_", "TOOL_PARALLEL_", "TOOL_BANDIT_", "TOOL_CACHE_", "TOOL_RETRY_")
_RELEVANT: Final = (PREFIX, *SWITCH_GROUPS)
OUTSIDE: Final = frozenset({"SALESBOOST_CONFIG", "SALESBOOST_ROLE"})
"""Variables with our prefix that are no settings."""

Port = Annotated[int, Field(ge=0, le=65535)]
Seconds = Annotated[float, Field(gt=0, le=7 * 86_400)]
Bytes = Annotated[int, Field(ge=1024, le=64 * 1024 * 1024)]


def _switch(name: str, default: Any, **bounds: Any) -> Any:
    return Field(default=default, validation_alias=name, **bounds)


class Settings(BaseSettings):
    """The settings in force. Immutable.

    Attributes:
        redis_url: State server: ledger and broker. None: the stack that runs in `home`.
        cache_url: Cache server. None: that stack's, or no cache.
        namespace: Name of the ledger; several may share a server.
        home: Folder for data that the embedded stack and the tools keep.
        data_dir: Folder with the price book and the exchange rates.
        crm_url: SQLAlchemy URL of the CRM's database; a SQLite file in `home` when None.
        tools_file: The tools' policies.
        groups_file: The tool groups that routing chooses from.
        lease: Seconds an attempt may be silent before it counts as lost; it is renewed every third of it.
        retention: Seconds a settled job is kept, which is also how long its idempotency key holds.
        max_payload: Bytes of JSON that a call may carry.
        max_result: Bytes of JSON that a tool may return.
        max_crashes: Attempts that may end with the death of their process before the job is dead.
        adopted_role: The role of calls from plain Celery producers: the least there is.
        soft_shutdown: Seconds that a stopping worker lets running attempts go on; then they are given back.
        events: Whether workers send Celery's task events (Flower asks for them by itself).
        log_level: Least level that is logged.
        log_format: ``json`` for machines, ``console`` for people.
        tool_rate_limit_enabled: Whether limits apply.
        tool_parallel_enabled: Whether batches run side by side; false runs them one by one.
        tool_parallel_max_concurrent: A batch's window when it names none.
        tool_bandit_enabled: Whether routing learns; false takes a group's first tool.
        tool_bandit_epsilon: Share of a group's calls that explore.
        tool_cache_enabled: Whether results are cached.
        tool_retry_enabled: Whether retryable faults are tried again.
        tool_retry_max_attempts: Attempts at a call whose faults are retryable, the first included.
        tool_retry_base_delay: Seconds; the n-th retry waits at most ``base · 2^(n-1)``.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True, case_sensitive=False)

    redis_url: str | None = None
    cache_url: str | None = None
    namespace: str = Field(default="sb", pattern=r"^[a-z0-9_-]{1,32}$")
    home: Path = Path(locate.DEFAULT_HOME)
    data_dir: Path = ROOT / "examples" / "data"
    crm_url: str | None = None
    tools_file: Path = ROOT / "config" / "tools.toml"
    groups_file: Path = ROOT / "config" / "groups.toml"
    lease: Annotated[float, Field(ge=1, le=3600)] = 10.0
    retention: Annotated[float, Field(ge=1, le=90 * 86_400)] = 86_400.0
    max_payload: Bytes = 64 * 1024
    max_result: Bytes = 256 * 1024
    max_crashes: Annotated[int, Field(ge=1, le=100)] = 3
    adopted_role: str = Field(default="viewer", pattern=r"^\S+$")
    soft_shutdown: Annotated[float, Field(ge=0, le=3600)] = 10.0
    events: bool = False
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["json", "console"] = "json"
    tool_rate_limit_enabled: bool = _switch("tool_rate_limit_enabled", True)
    tool_parallel_enabled: bool = _switch("tool_parallel_enabled", True)
    tool_parallel_max_concurrent: int = _switch("tool_parallel_max_concurrent", 5, ge=1, le=10_000)
    tool_bandit_enabled: bool = _switch("tool_bandit_enabled", False)
    tool_bandit_epsilon: float = _switch("tool_bandit_epsilon", 0.1, ge=0, le=1)
    tool_cache_enabled: bool = _switch("tool_cache_enabled", True)
    tool_retry_enabled: bool = _switch("tool_retry_enabled", True)
    tool_retry_max_attempts: int = _switch("tool_retry_max_attempts", 3, ge=1, le=100)
    tool_retry_base_delay: float = _switch("tool_retry_base_delay", 1.0, ge=0, le=3600)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read the environment before the file, and nothing else."""
        sources: list[PydanticBaseSettingsSource] = [init_settings, env_settings]
        path = config_file()
        if path:
            sources.append(TomlConfigSettingsSource(settings_cls, path))
        return tuple(sources)

    @property
    def state_url(self) -> str:
        """The state server's URL.

        Raises:
            ConfigurationError: None is set and no stack runs in `home`.
        """
        return locate.state_url(self.redis_url)

    @property
    def cache_server_url(self) -> str | None:
        """The cache server's URL, None when there is no cache."""
        return locate.cache_url(self.cache_url, state=self.redis_url)

    @property
    def crm_database(self) -> str:
        """The SQLAlchemy URL of the CRM's database."""
        return self.crm_url or f"sqlite:///{(self.home / 'crm.sqlite3').absolute()}"


def config_file() -> Path | None:
    """Return the settings file, None when there is none.

    Raises:
        ConfigurationError: ``$SALESBOOST_CONFIG`` names a file that is not there.
    """
    named = os.environ.get("SALESBOOST_CONFIG")
    if named:
        if not Path(named).is_file():
            raise ConfigurationError(f"SALESBOOST_CONFIG must name a TOML file, got {named!r}: no such file")
        return Path(named)
    default = ROOT / "config" / "salesboost.toml"
    return default if default.is_file() else None


def variable(field: str) -> str:
    """Return the environment variable of a field."""
    return field.upper() if field.startswith("tool_") else PREFIX + field.upper()


def load() -> Settings:
    """Read, check and return the settings.

    Raises:
        ConfigurationError: A key is unknown or a value out of bounds; the message lists all of them.
    """
    known = {variable(name) for name in Settings.model_fields} | OUTSIDE
    unknown = [name for name in os.environ if name.upper().startswith(_RELEVANT) and name.upper() not in known]
    if unknown:
        raise ConfigurationError(
            f"unknown settings in the environment: {', '.join(sorted(unknown))}; known are {', '.join(sorted(known))}"
        )
    try:
        return Settings()
    except ValidationError as exc:
        wrong = "; ".join(
            f"{'.'.join(map(str, error['loc'])) or 'settings'} = {error['input']!r}: {error['msg']}"
            for error in exc.errors()
        )
        raise ConfigurationError(f"{config_file() or 'the environment'}: {wrong}") from exc
    except ValueError as exc:
        raise ConfigurationError(f"{config_file()}: {exc}") from exc


def settings() -> Settings:
    """Return the settings, read again only when a variable that they depend on has changed."""
    return _settings(tuple((name, value) for name, value in os.environ.items() if name.upper().startswith(_RELEVANT)))


@lru_cache(maxsize=4)
def _settings(environment: tuple[tuple[str, str], ...]) -> Settings:
    return load()
