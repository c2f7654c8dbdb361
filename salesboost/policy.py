"""A tool's policy: everything about when and how its calls run that is not its code.

The decorator states it, `config/tools.toml` overrides each field of it without code, workers publish it to
the state server, where the server-side functions act on it.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from salesboost.rates import KeyedRate, Rate

EffectKind = Literal["read", "idempotent", "write"]
"""``read`` changes nothing; ``idempotent`` may be begun again under its idempotency key; ``write`` must not."""

DEFAULT_LIMIT = "10/minute"
"""The limit of a tool that names none."""

MAX_TIMEOUT = 86_400.0
"""Seconds; the longest time limit."""

Seconds = Annotated[float, Field(gt=0, le=MAX_TIMEOUT)]


class ToolPolicy(BaseModel):
    """How the calls of one tool are admitted, run and repeated. Immutable; unknown fields are errors.

    Attributes:
        roles: The roles that may call the tool; empty means every role.
        limit: Starts per period over the whole fleet, such as ``10/minute``; ``none`` for no limit.
        burst: Starts that may come at once after a pause; the limit's count when None.
        strict: No window of the period ever holds more than the limit's count.
        limit_keys: Further limits, one bucket for each value of a key (``5/day per phone_number``).
        concurrency: Attempts that may run at once over the whole fleet; None for as many as workers hold.
        cache_ttl: Seconds a result may be answered from the cache; 0 for never. Only for reads.
        retries: Attempts after the first one when a fault is retryable; `TOOL_RETRY_MAX_ATTEMPTS` - 1 when
            None.
        timeout: Hard limit of an attempt in seconds: it is ended, whatever it does.
        soft_timeout: Seconds after which `SoftTimeLimit` is raised in the tool; 0.8 × `timeout` when None.
        effect: What an attempt does to the world.
        queue: Name of the queue whose workers run the tool.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    roles: frozenset[str] = frozenset()
    limit: str | None = DEFAULT_LIMIT
    burst: int | None = Field(default=None, ge=1, le=1_000_000)
    strict: bool = False
    limit_keys: tuple[str, ...] = Field(default=(), max_length=5)
    concurrency: int | None = Field(default=None, ge=1, le=100_000)
    cache_ttl: float = Field(default=0.0, ge=0, le=30 * 86_400)
    retries: int | None = Field(default=None, ge=0, le=100)
    timeout: Seconds = 60.0
    soft_timeout: Seconds | None = None
    effect: EffectKind = "read"
    queue: str = Field(default="default", pattern=r"^[a-z][a-z0-9_-]{0,63}$")

    @field_validator("limit")
    @classmethod
    def _limit_parses(cls, value: str | None) -> str | None:
        if value is None or value == "none":
            return None
        return str(Rate.parse(value))

    @field_validator("limit_keys")
    @classmethod
    def _limit_keys_parse(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(str(KeyedRate.parse(text)) for text in value)

    @model_validator(mode="after")
    def _fits_together(self) -> ToolPolicy:
        if self.cache_ttl and self.effect != "read":
            raise ValueError(f"cache_ttl must be 0 for a tool with effect {self.effect!r}, got {self.cache_ttl}")
        if self.soft_timeout is not None and self.soft_timeout >= self.timeout:
            raise ValueError(f"soft_timeout must be below timeout {self.timeout}, got {self.soft_timeout}")
        return self

    @property
    def rate(self) -> Rate | None:
        """The parsed `limit`."""
        return Rate.parse(self.limit) if self.limit else None

    @property
    def soft_limit(self) -> float:
        """The soft time limit in seconds that is in force."""
        return self.soft_timeout if self.soft_timeout is not None else 0.8 * self.timeout

    def overridden(self, changes: dict[str, Any]) -> ToolPolicy:
        """Return the policy with *changes* (fields of `tools.toml`) validated and put in place.

        Raises:
            pydantic.ValidationError: A field is unknown or out of bounds.
        """
        return ToolPolicy.model_validate({**self.model_dump(), **changes})
