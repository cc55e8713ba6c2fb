"""The definition of the answer: agreement with plain Python, and each condition of a run."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from drilldown_next.config import EpisodeConfig
from drilldown_next.definition import Limits, compute_spread, find_roots, split_by_step
from drilldown_next.generator import draw_and_plant
from drilldown_next.levels import ALL_LEVELS
from drilldown_next.products import PRODUCTS
from drilldown_next.segments import SegmentDays, build_segment_table

from .plain_definition import answer

SHAPE = (2, 3)
DAYS = 56


def steady_counts(people: int = 400) -> np.ndarray:
    """Counts of two steps whose rates, one half, never change."""
    counts = np.zeros((6, 3, DAYS), dtype=np.int32)
    counts[:, 0], counts[:, 1], counts[:, 2] = people, people // 2, people // 4
    return counts


def lose(counts: np.ndarray, segment: int, first: int, last: int, share: float) -> None:
    """Take away a share of those of a segment who take the first step."""
    leaves = build_segment_table(SHAPE).leaves[segment]
    days = slice(first, last + 1)
    kept = np.rint(counts[leaves, 1, days] * (1 - share)).astype(np.int32)
    counts[leaves, 1, days] = kept
    counts[leaves, 2, days] = np.minimum(counts[leaves, 2, days], kept // 2)


def places(counts: np.ndarray, **options) -> list[tuple[int, ...]]:
    return [tuple(root.place) for root in find_roots(counts, SHAPE, **options)]


@pytest.mark.parametrize("level", ["rung_1", pytest.param("rung_4", marks=pytest.mark.slow)])
@pytest.mark.parametrize("limits", [Limits(), Limits(3.0, 0.05)])
def test_answer_agrees_with_plain_python(level: str, limits: Limits) -> None:
    """Low limits give answers of noise too, which leads into all branches."""
    for seed, product in enumerate(PRODUCTS):
        generated = draw_and_plant(EpisodeConfig(seed, level, product, 1), 0)
        assert generated is not None
        shape = generated.draw.product.shape
        found = [tuple(r.place) for r in find_roots(generated.counts, shape, limits=limits)]
        assert found == answer(generated.counts, shape, (), *limits)
        assert found


@pytest.mark.slow
@pytest.mark.parametrize("level", ["easy", "medium", "hard", "sql"])
def test_answer_agrees_with_plain_python_on_levels(level: str) -> None:
    for seed, product in enumerate(PRODUCTS):
        count = ALL_LEVELS[level].root_counts[1 + seed]
        for attempt in range(100):
            generated = draw_and_plant(EpisodeConfig(seed, level, product, count), attempt)
            if generated is not None:
                break
        shape = generated.draw.product.shape
        found = find_roots(generated.counts, shape, generated.calendar)
        assert [tuple(r.place) for r in found] == answer(
            generated.counts, shape, generated.calendar
        )
        assert len(found) >= count


def test_steady_counts_have_no_root() -> None:
    assert places(steady_counts()) == []


@pytest.mark.parametrize("segment", [0, 3, 5, 8])
def test_loss_of_a_segment_is_found_exactly(segment: int) -> None:
    counts = steady_counts()
    lose(counts, segment, 20, 25, 0.4)
    assert places(counts) == [(0, segment, 20, 25)]


@pytest.mark.parametrize(("last", "found"), [(21, False), (22, True), (33, True), (34, False)])
def test_runs_have_3_to_14_days(last: int, found: bool) -> None:
    counts = steady_counts(4000)
    lose(counts, 6, 20, last, 0.4)
    assert ((0, 6, 20, last) in places(counts)) == found


@pytest.mark.parametrize(("share", "found"), [(0.18, False), (0.22, True)])
def test_total_loss_is_at_least_a_fifth(share: float, found: bool) -> None:
    counts = steady_counts(4000)
    lose(counts, 6, 20, 25, share)
    assert bool(places(counts)) == found


@pytest.mark.parametrize(("people", "found"), [(38, False), (42, True)])
def test_fewer_than_20_people_on_a_day_are_no_root(people: int, found: bool) -> None:
    """With half as many people as usual on one day, that day has 19 or 21."""
    counts = steady_counts(4000)
    counts[0] = np.array([[people], [people // 2], [people // 4]])
    counts[0, :, 22] = np.array([people // 2, people // 4, people // 8])
    lose(counts, 5, 20, 26, 0.9)
    assert ((0, 5, 20, 26) in places(counts, limits=Limits(2.0, 0.2))) == found


def test_calendar_entry_is_removed_before_the_search() -> None:
    counts = steady_counts()
    lose(counts, 6, 20, 25, 0.4)
    lose(counts, 7, 40, 44, 0.4)
    assert sorted(places(counts)) == [(0, 6, 20, 25), (0, 7, 40, 44)]
    assert places(counts, calendar=[SegmentDays(0, 6, 20, 25)]) == [(0, 7, 40, 44)]


def test_removed_people_still_count_at_the_next_step() -> None:
    counts = steady_counts()
    lose(counts, 6, 20, 25, 0.4)
    counts[build_segment_table(SHAPE).leaves[6], 2, 20:26] //= 2
    assert sorted(places(counts)) == [(0, 6, 20, 25), (1, 6, 20, 25)]


def test_spread_is_large_on_days_on_which_values_differ() -> None:
    """The spread of a day is measured outside the segment."""
    counts, table = steady_counts(4000), build_segment_table(SHAPE)
    for leaf, factor in enumerate([0.5, 1.5, 0.6, 1.4, 0.7, 1.3]):
        if not table.leaves[6, leaf]:
            counts[leaf, 1, 20:26] = np.rint(counts[leaf, 1, 20:26] * factor)
    spread = compute_spread(split_by_step(counts, table)[0], 6)
    assert spread[20:26].min() > 5.0
    assert (np.delete(spread, range(20, 26)) == 1.0).all()


def test_answer_is_the_same_for_every_number_type() -> None:
    generated = draw_and_plant(EpisodeConfig(5, "easy", "saas_trial", 1), 0)
    shape = generated.draw.product.shape
    wide = generated.counts.astype(np.int64)
    assert find_roots(generated.counts, shape) == find_roots(wide, shape)
    found = find_roots(generated.counts, shape)[0]
    assert not replace(found, score=7.9).counts_within(Limits())
    assert found.counts_within(Limits())
