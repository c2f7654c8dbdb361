"""Reciprocal rank fusion, by its formula."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.knowledge.fusion import reciprocal_rank_fusion

RANKINGS = st.lists(st.lists(st.integers(1, 30), unique=True), max_size=4)


def test_what_both_rankings_hold_is_before_what_one_holds() -> None:
    fused = reciprocal_rank_fusion([[1, 2, 3], [4, 3]])

    assert [found for found, _ in fused] == [3, 1, 4, 2]
    assert dict(fused)[3] == pytest.approx(1 / 63 + 1 / 62)


def test_equal_scores_are_in_the_order_of_their_ids() -> None:
    assert [found for found, _ in reciprocal_rank_fusion([[9, 5], [5, 9]])] == [5, 9]


@given(RANKINGS)
def test_every_id_is_there_once_and_scores_fall(rankings: list[list[int]]) -> None:
    fused = reciprocal_rank_fusion(rankings)

    assert sorted(found for found, _ in fused) == sorted({found for ranking in rankings for found in ranking})
    assert [score for _, score in fused] == sorted((score for _, score in fused), reverse=True)


@given(st.lists(st.integers(), unique=True))
def test_one_ranking_stays_as_it_is(ranking: list[int]) -> None:
    assert [found for found, _ in reciprocal_rank_fusion([ranking])] == ranking
