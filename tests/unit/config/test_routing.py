"""Routing by the switches ``TOOL_BANDIT_*``, with groups as workers publish them, on a real server."""

from __future__ import annotations

import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from config.settings import Settings
from salesboost import wire
from salesboost.errors import InputInvalid, ToolNotFound
from salesboost.routing import ArmStatistics, Router
from salesboost.store import StateStore
from scheduler import fleet

GROUP = "retrievers"
TOOLS = ["first", "second", "third"]


@pytest.fixture
def groups_file(tmp_path: Path) -> Path:
    path = tmp_path / "groups.toml"
    path.write_text(f"[{GROUP}]\ntools = {TOOLS!r}\n", encoding="utf-8")
    return path


@pytest.fixture
def router(store: StateStore, groups_file: Path) -> Router:
    """A router of a fleet that learns and, once it has tried each tool, never explores."""
    publish(store, groups_file, tool_bandit_enabled=True, tool_bandit_epsilon=0)
    return Router(store)


def publish(store: StateStore, groups_file: Path, **switches: Any) -> None:
    fleet.publish(store.redis, [], Settings(namespace=store.namespace, groups_file=groups_file, **switches))


def pull(router: Router, *, success: bool = True, latency_ms: float = 0) -> str:
    """Choose a tool, say how it went, and return it."""
    tool, decision = router.select_tool(GROUP)
    assert router.record_feedback(decision, success, latency_ms)
    return tool


def arm(router: Router, tool: str) -> ArmStatistics:
    return next(found for found in router.get_statistics(GROUP) if found.tool == tool)


def test_routing_that_is_off_takes_the_first_tool_and_learns_nothing(store: StateStore, groups_file: Path) -> None:
    # Given TOOL_BANDIT_ENABLED=false, the default
    publish(store, groups_file)
    router = Router(store)
    # When tools are chosen and feedback is given
    chosen = [router.select_tool(GROUP) for _ in range(20)]
    answered = [router.record_feedback(decision, False, 10) for _, decision in chosen]
    # Then it is always the first, there is no decision to answer, and nothing is known
    assert set(chosen) == {("first", None)}
    assert not any(answered)
    assert router.get_statistics(GROUP) == [ArmStatistics(tool) for tool in TOOLS]
    assert router.get_best_tool(GROUP) == "first"


def test_each_tool_is_tried_before_any_is_preferred(router: Router) -> None:
    assert [pull(router) for _ in TOOLS] == TOOLS


def test_without_exploring_the_best_is_taken(router: Router) -> None:
    # Given tools of which the second did best
    for success, latency in ((True, 4000), (True, 1000), (False, 0)):
        pull(router, success=success, latency_ms=latency)
    # When tools are chosen
    chosen = {router.select_tool(GROUP)[0] for _ in range(50)}
    # Then it is always that one
    assert chosen == {"second"} == {router.get_best_tool(GROUP)}


def test_of_equals_the_earlier_is_taken(router: Router) -> None:
    for _ in TOOLS:
        pull(router, latency_ms=100)
    assert {router.select_tool(GROUP)[0] for _ in range(10)} == {"first"}


def test_epsilon_one_takes_any(store: StateStore, groups_file: Path) -> None:
    # Given a fleet that always explores, and a tool that did best
    publish(store, groups_file, tool_bandit_enabled=True, tool_bandit_epsilon=1)
    router = Router(store)
    # When many tools are chosen
    chosen = Counter(pull(router, success=True) for _ in range(300))
    # Then each has about its share: fewer than 60 of 300 at p = 1/3 is beyond 4.9 standard deviations
    assert set(chosen) == set(TOOLS)
    assert min(chosen.values()) >= 60


def test_routing_learns_whom_to_prefer(store: StateStore, groups_file: Path) -> None:
    # Given tools of which the third succeeds most often, and a tenth of the calls exploring
    publish(store, groups_file, tool_bandit_enabled=True, tool_bandit_epsilon=0.1)
    router = Router(store)
    chances = {"first": 0.2, "second": 0.3, "third": 0.95}
    dice = random.Random(7)
    # When it is asked often
    chosen: Counter[str] = Counter()
    for _ in range(400):
        tool, decision = router.select_tool(GROUP)
        chosen[tool] += 1
        router.record_feedback(decision, dice.random() < chances[tool], 50)
    # Then most calls went there, and the others are still tried
    assert router.get_best_tool(GROUP) == "third"
    assert chosen["third"] > 240
    assert min(chosen.values()) > 0


@pytest.mark.parametrize(
    ("success", "latency_ms", "reward"),
    [(True, 0, 1.0), (True, 1000, 0.9), (True, 5000, 0.5), (True, 60_000, 0.5), (False, 0, 0.0), (False, 5000, -0.5)],
)
def test_the_reward_is_success_less_half_of_the_latency(
    router: Router, success: bool, latency_ms: float, reward: float
) -> None:
    pull(router, success=success, latency_ms=latency_ms)
    assert arm(router, "first").mean_reward == pytest.approx(reward)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.booleans(), st.floats(0, 20_000)), min_size=1, max_size=8))
def test_means_are_the_means_of_what_was_said(router: Router, said: list[tuple[bool, float]]) -> None:
    # Given feedback on the first tool alone
    router.reset(GROUP)
    for success, latency in said:
        decision = decide(router, "first")
        assert router.record_feedback(decision, success, latency)
    # When its statistics are read
    found = arm(router, "first")
    # Then they are the means, to the rounding of a sum kept in text
    rewards = [success - 0.5 * min(latency / 5000, 1) for success, latency in said]
    assert (found.feedbacks, found.successes) == (len(said), sum(success for success, _ in said))
    assert found.mean_reward == pytest.approx(sum(rewards) / len(said), abs=1e-6)
    assert found.mean_latency_ms == pytest.approx(sum(latency for _, latency in said) / len(said), abs=1e-2)


def decide(router: Router, tool: str) -> str | None:
    """Choose until *tool* is chosen; with statistics just begun, few tries do."""
    while True:
        chosen, decision = router.select_tool(GROUP)
        if chosen == tool:
            return decision
        router.record_feedback(decision, False, 20_000)


def test_feedback_counts_once_whoever_gives_it(router: Router, store: StateStore) -> None:
    # Given one decision
    tool, decision = router.select_tool(GROUP)
    # When many give feedback on it at once
    with ThreadPoolExecutor(12) as threads:
        counted = list(
            threads.map(lambda number: Router(store).record_feedback(decision, number % 2 == 0, 1), range(24))
        )
    # Then one of them counted
    assert counted.count(True) == 1
    assert arm(router, tool).feedbacks == 1
    assert arm(router, tool).pulls == 1


def test_feedback_on_no_decision_is_not_counted(router: Router) -> None:
    assert not router.record_feedback(None, True, 1)
    assert not router.record_feedback("retrievers:never-made", True, 1)
    assert router.get_statistics(GROUP) == [ArmStatistics(tool) for tool in TOOLS]


@pytest.mark.parametrize("latency_ms", [-1, -0.001, float("nan"), float("inf"), float("-inf")])
def test_a_latency_that_is_none_is_refused_and_leaves_the_decision_open(router: Router, latency_ms: float) -> None:
    # Given a decision
    tool, decision = router.select_tool(GROUP)
    # When the feedback on it is no number of milliseconds
    with pytest.raises(InputInvalid, match="latency_ms must be 0 or more"):
        router.record_feedback(decision, True, latency_ms)
    # Then it can still be answered
    assert router.record_feedback(decision, True, 5)
    assert arm(router, tool).feedbacks == 1


def test_a_decision_is_forgotten_after_an_hour(router: Router, store: StateStore) -> None:
    # Given a decision
    _, decision = router.select_tool(GROUP)
    key = f"{wire.root(store.namespace)}:decision:{decision}"
    # When its time is over
    assert 3590 < store.redis.ttl(key) <= 3600
    store.redis.delete(key)
    # Then feedback on it is not accepted
    assert not router.record_feedback(decision, True, 1)


def test_all_processes_learn_together(router: Router, store: StateStore) -> None:
    # Given two routers
    other = Router(StateStore(store.url, namespace=store.namespace))
    # When each tries tools
    assert [pull(router), pull(other), pull(router)] == TOOLS
    # Then both know of all
    assert router.get_statistics(GROUP) == other.get_statistics(GROUP)
    assert [found.pulls for found in other.get_statistics(GROUP)] == [1, 1, 1]


def test_reset_forgets_what_was_learned(router: Router) -> None:
    pull(router)
    router.reset(GROUP)
    assert router.get_statistics(GROUP) == [ArmStatistics(tool) for tool in TOOLS]


def test_an_unknown_group_is_an_error_that_names_it(router: Router) -> None:
    for ask in (router.select_tool, router.get_statistics, router.get_best_tool):
        with pytest.raises(ToolNotFound, match=r"no tool group named 'nobody'.*groups\.toml"):
            ask("nobody")


def test_a_worker_that_starts_changes_the_switches_for_all(
    router: Router, store: StateStore, groups_file: Path
) -> None:
    # Given a router that learns
    assert router.select_tool(GROUP)[1] is not None
    # When a worker with routing switched off starts
    publish(store, groups_file, tool_bandit_enabled=False)
    # Then it is off
    assert router.select_tool(GROUP) == ("first", None)
