"""Joins rankings whose scores cannot be compared."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final

K: Final = 60
"""How much the first ranks stand out: the constant of the paper, which is not tuned here."""


def reciprocal_rank_fusion(rankings: Iterable[Sequence[int]]) -> list[tuple[int, float]]:
    """Return the ids of all *rankings* as (id, score), best first, equal ones by id.

    An id's score is the sum of 1 / (K + rank) over the rankings that hold it, ranks counted from 1 (Cormack, Clarke
    and Büttcher, "Reciprocal Rank Fusion outperforms Condorcet and individual Rank Learning Methods", SIGIR 2009).
    """
    scores: defaultdict[int, float] = defaultdict(float)
    for ranking in rankings:
        for rank, found in enumerate(ranking, start=1):
            scores[found] += 1 / (K + rank)
    return sorted(scores.items(), key=lambda found: (-found[1], found[0]))
