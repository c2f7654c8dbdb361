"""Quantiles of histograms, and what is known of the tools of a group."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from salesboost import ArmStatistics, InputInvalid, ToolNotFound, ToolStatistics
from salesboost.routing import best, choice_arguments, feedback_arguments, read_arms, read_choice
from salesboost.statistics import BASE, read_all


@given(st.lists(st.integers(1_000, 60_000_000), min_size=1, max_size=50), st.floats(0.01, 1))
def test_a_quantile_is_at_most_five_percent_off(latencies_us: list[int], share: float) -> None:
    # Given latencies in the histogram's buckets
    counts: dict[int, int] = {}
    for us in latencies_us:
        bucket = math.floor(math.log(us) / math.log(BASE))
        counts[bucket] = counts.get(bucket, 0) + 1

    # When a quantile is read
    found = ToolStatistics(tool="t", latencies=counts).quantile(share)

    # Then it is within five percent of the true one
    true = sorted(latencies_us)[max(math.ceil(share * len(latencies_us)) - 1, 0)] / 1000
    assert found == pytest.approx(true, rel=0.055)


def test_a_quantile_may_be_of_what_came_since() -> None:
    # Given statistics before and after
    before = ToolStatistics(tool="t", latencies={50: 100})
    after = ToolStatistics(tool="t", latencies={50: 100, 90: 3})

    # When the median since then is read
    # Then what was before does not count; and nothing has none
    assert after.quantile(0.5, since=before) == pytest.approx(BASE**90.5 / 1000)
    assert before.quantile(0.5, since=before) is None


def test_counts_are_read_by_tool() -> None:
    # Given the server's hashes
    fields = [{"submitted": "7", "n:running": "2", "t:failed": "1", "t:dead": "1", "total:80": "4"}, {}]

    # When they are read
    found = read_all(["a", "b"], fields, {"a:hits": 5, "a:misses": 2})

    # Then states that are no success count as failed
    assert (found["a"].submitted, found["a"].running, found["a"].failed, found["a"].cached) == (7, 2, 2, 5)
    assert found["a"].latencies == {80: 4}
    assert found["b"] == ToolStatistics(tool="b", latencies={})


def test_the_best_tool_is_the_one_with_the_best_mean() -> None:
    # Given a group of which one tool was never tried
    fields = {"a:feedbacks": "2", "a:reward": "-1.0", "b:feedbacks": "4", "b:reward": "2.0", "b:latency_ms": "400"}
    arms = read_arms("g", ["a", "b", "c"], fields)

    # When the best one is asked for
    # Then it is the one with the best mean; without feedback the first one
    assert best(arms).tool == "b"
    assert (arms[1].mean_reward, arms[1].mean_latency_ms) == (0.5, 100.0)
    assert best([ArmStatistics("x"), ArmStatistics("y")]).tool == "x"


def test_a_choice_names_tool_and_decision() -> None:
    # Given replies of the server
    # When they are read
    # Then without learning there is no decision to answer
    assert read_choice("g", [b"chosen", b"a", b"g:1"]) == ("a", "g:1")
    assert read_choice("g", [b"chosen", b"a", b""]) == ("a", None)
    with pytest.raises(ToolNotFound, match="'g'"):
        read_choice("g", [b"unknown"])
    assert choice_arguments("g")[3] != choice_arguments("g")[3]


@pytest.mark.parametrize("latency", [-1.0, float("nan")])
def test_a_latency_must_be_a_number_of_milliseconds(latency: float) -> None:
    # Given feedback with a latency that is none
    # When it is given
    # Then it is refused
    with pytest.raises(InputInvalid, match="latency_ms"):
        feedback_arguments("g:1", True, latency)
