"""Chooses among interchangeable tools and learns from how they did."""

from __future__ import annotations

import random
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any

from salesboost import wire
from salesboost.errors import InputInvalid, ToolNotFound
from salesboost.store import StateStore

if TYPE_CHECKING:
    from salesboost.async_store import AsyncStateStore

DECISION_TTL = 3600.0
"""Seconds for which feedback on a decision is accepted."""


@dataclass(frozen=True, slots=True)
class ArmStatistics:
    """What is known of one tool of a group.

    Attributes:
        tool: The tool's name.
        pulls: Decisions for it.
        feedbacks: Decisions that were answered.
        successes: Answers that were a success.
        mean_reward: Mean of ``success - 0.5 * min(latency_ms / 5000, 1)``, 0 without feedback.
        mean_latency_ms: Mean latency in milliseconds, 0 without feedback.
    """

    tool: str
    pulls: int = 0
    feedbacks: int = 0
    successes: int = 0
    mean_reward: float = 0.0
    mean_latency_ms: float = 0.0


class Router:
    """Routing of tool groups, which `config/groups.toml` on the workers names.

    With `TOOL_BANDIT_ENABLED` false, the default, the first tool of a group is chosen and nothing is learned; else
    epsilon-greedy: with probability `TOOL_BANDIT_EPSILON` any tool, otherwise the one with the best mean reward.
    """

    def __init__(self, store: StateStore) -> None:
        self._store = store

    def select_tool(self, tool_group: str, context: Mapping[str, str] | None = None) -> tuple[str, str | None]:
        """Choose a tool of *tool_group*; return its name and the decision's id, None when routing is off.

        Args:
            tool_group: The group's name.
            context: What the call is about. Epsilon-greedy does not look at it.

        Raises:
            ToolNotFound: No worker published such a group.
        """
        return read_choice(tool_group, self._store.call("select_arm", *choice_arguments(tool_group)))

    def record_feedback(
        self, decision_id: str | None, success: bool, latency_ms: float, error: str | None = None
    ) -> bool:
        """Say how a decision turned out. Return False when it was answered before, has expired, or is None.

        Args:
            decision_id: As `select_tool` returned it.
            success: Whether the call succeeded.
            latency_ms: Milliseconds it took, 0 or more.
            error: The error's code, for the log of decisions.

        Raises:
            InputInvalid: *latency_ms* is negative or no number.
        """
        arguments = feedback_arguments(decision_id, success, latency_ms)
        return bool(arguments) and wire.text(self._store.call("record_feedback", *arguments)) == "ok"

    def get_statistics(self, tool_group: str) -> list[ArmStatistics]:
        """Return what is known of each tool of the group, in the group's order.

        Raises:
            ToolNotFound: No worker published such a group.
        """
        return read_arms(tool_group, *self._store.group(tool_group))

    def get_best_tool(self, tool_group: str) -> str:
        """Return the tool with the best mean reward; the group's first one before any feedback."""
        return best(self.get_statistics(tool_group)).tool

    def reset(self, tool_group: str) -> None:
        """Forget what was learned about the group."""
        self._store.forget_group(tool_group)


class AsyncRouter:
    """As `Router`, for `AsyncToolClient`."""

    def __init__(self, store: Callable[[], AsyncStateStore]) -> None:
        self._store = store

    async def select_tool(self, tool_group: str, context: Mapping[str, str] | None = None) -> tuple[str, str | None]:
        """See `Router.select_tool`."""
        return read_choice(tool_group, await self._store().call("select_arm", *choice_arguments(tool_group)))

    async def record_feedback(
        self, decision_id: str | None, success: bool, latency_ms: float, error: str | None = None
    ) -> bool:
        """See `Router.record_feedback`."""
        arguments = feedback_arguments(decision_id, success, latency_ms)
        return bool(arguments) and wire.text(await self._store().call("record_feedback", *arguments)) == "ok"

    async def get_statistics(self, tool_group: str) -> list[ArmStatistics]:
        """See `Router.get_statistics`."""
        return read_arms(tool_group, *await self._store().group(tool_group))

    async def get_best_tool(self, tool_group: str) -> str:
        """See `Router.get_best_tool`."""
        return best(await self.get_statistics(tool_group)).tool

    async def reset(self, tool_group: str) -> None:
        """See `Router.reset`."""
        await self._store().forget_group(tool_group)


def choice_arguments(tool_group: str) -> list[str | bytes | int]:
    """Return the arguments of ``select_arm``: the server is told the dice, so that it stays deterministic."""
    decision = f"{tool_group}:{secrets.token_hex(12)}"
    dice = [repr(random.random()) for _ in range(2)]  # nosec B311
    return [tool_group, *dice, decision, wire.micros(DECISION_TTL)]


def read_choice(tool_group: str, reply: Sequence[Any]) -> tuple[str, str | None]:
    """Read the reply of ``select_arm``.

    Raises:
        ToolNotFound: No worker published such a group.
    """
    if wire.text(reply[0]) == "unknown":
        raise _no_group(tool_group)
    return wire.text(reply[1]), wire.text(reply[2]) or None


def feedback_arguments(decision_id: str | None, success: bool, latency_ms: float) -> list[str | bytes | int]:
    """Return the arguments of ``record_feedback``, none when there was no decision.

    Raises:
        InputInvalid: *latency_ms* is negative or no number.
    """
    if not 0 <= latency_ms < inf:
        raise InputInvalid(f"latency_ms must be 0 or more, and finite, got {latency_ms!r}")
    return [decision_id, int(bool(success)), repr(float(latency_ms))] if decision_id is not None else []


def read_arms(tool_group: str, tools: Sequence[str], fields: Mapping[str, str]) -> list[ArmStatistics]:
    """Return the statistics of a group's tools.

    Raises:
        ToolNotFound: There are no tools: no worker published such a group.
    """
    if not tools:
        raise _no_group(tool_group)
    return [_arm(tool, fields) for tool in tools]


def best(arms: Sequence[ArmStatistics]) -> ArmStatistics:
    """Return the one with the best mean reward; the first one before any feedback."""
    return max(arms, key=lambda arm: arm.mean_reward if arm.feedbacks else float("-inf"))


def _no_group(tool_group: str) -> ToolNotFound:
    return ToolNotFound(f"no tool group named {tool_group!r}: name it in config/groups.toml and restart a worker")


def _arm(tool: str, fields: Mapping[str, str]) -> ArmStatistics:
    feedbacks = int(fields.get(f"{tool}:feedbacks", 0))
    return ArmStatistics(
        tool=tool,
        pulls=int(fields.get(f"{tool}:pulls", 0)),
        feedbacks=feedbacks,
        successes=int(fields.get(f"{tool}:successes", 0)),
        mean_reward=float(fields.get(f"{tool}:reward", 0)) / max(feedbacks, 1),
        mean_latency_ms=float(fields.get(f"{tool}:latency_ms", 0)) / max(feedbacks, 1),
    )
