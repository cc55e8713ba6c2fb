"""What each insight is worth, and what a search over combinations of heuristics finds."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from docs.generate.cases import Found, found
from docs.generate.scenes import CASES
from metric_tracker_rl.drilldown.baselines import median_of_weekday
from metric_tracker_rl.drilldown.change_log import UNATTRIBUTED
from metric_tracker_rl.drilldown.channel import Channel
from metric_tracker_rl.drilldown.domains import TRACKING
from metric_tracker_rl.drilldown.levels import LOSS
from metric_tracker_rl.drilldown.policies import adversary
from metric_tracker_rl.drilldown.policies.adversary import (
    ADVERSARY,
    MEMBERS,
    TRIES,
    Combination,
    best_combination,
    fitted,
)
from metric_tracker_rl.drilldown.policies.heuristics import HEURISTICS
from metric_tracker_rl.drilldown.policies.insights import (
    READERS,
    WITHOUT,
    OneValue,
    OwnRates,
    TwoValues,
)
from metric_tracker_rl.drilldown.policies.scan import Scan


def score(name: str, shown: Found) -> float:
    return HEURISTICS[name].grade(Scan(shown.episode)).score


@pytest.mark.parametrize("name", CASES)
def test_with_every_insight_each_case_is_solved(name: str) -> None:
    assert score("every_insight", found(CASES[name])) == 1.0


@pytest.mark.parametrize(
    ("insight", "case"),
    [
        ("two_roots", "cancelling-pair"),
        ("mix_shifts", "mix-shift"),
        ("tracking", "tracking-loss"),
        ("pairs", "tracking-loss"),
        ("log", "decoy-release"),
        ("weekdays", "tracking-loss"),
    ],
)
def test_a_case_that_needs_an_insight_is_not_solved_without_it(insight: str, case: str) -> None:
    assert score(WITHOUT + insight, found(CASES[case])) < 1.0


def test_an_insight_that_a_case_does_not_need_costs_nothing() -> None:
    loss = found(CASES["tracking-loss"])
    for insight in ("composition", "two_roots", "mix_shifts"):
        assert score(WITHOUT + insight, loss) == 1.0


@pytest.mark.parametrize(("channel_type", "most"), [(TwoValues, 2), (OneValue, 1)])
def test_who_looks_at_few_values_judges_no_segment_of_more(
    channel_type: type[Channel], most: int
) -> None:
    scan = Scan(found(CASES["tracking-loss"]).episode)
    plain, limited = scan.channels[1], scan.under(scan.baseline, channel_type)[1]
    before, after = (each.judged(each.weight, each.people) for each in (plain, limited))
    narrow = scan.cube.fixed > most
    assert before[narrow].any()
    assert not after[narrow].any()
    np.testing.assert_array_equal(before[~narrow], after[~narrow])


def test_only_own_rates_show_that_other_people_came() -> None:
    shown = found(CASES["composition"])
    episode, panel, [root] = shown.episode, shown.scene.panels[0], shown.scene.roots
    scan = Scan(episode)
    days = slice(root.first, root.last + 1)

    def change(channel_type: type[Channel]) -> float:
        channel = scan.under(median_of_weekday(scan.stages), channel_type)[panel.into]
        weight, surplus = channel.weight[panel.cell, days], channel.surplus[panel.cell, days]
        return abs(float(surplus.sum() / weight.sum()))

    assert change(OwnRates) > 2.0 * change(Channel)
    traffic = scan.under(scan.baseline, OwnRates)[0]
    np.testing.assert_array_equal(traffic.weight, scan.channels[0].weight)


def test_without_scopes_the_last_entry_of_the_component_is_taken() -> None:
    shown = found(CASES["decoy-release"])
    scan, [root] = Scan(shown.episode), shown.scene.roots
    domain = shown.episode.domain
    component = TRACKING if root.kind == LOSS else domain.components[root.stage]
    days = [e.day for e in shown.draw.log if e.component == component and e.day <= root.first]
    [row] = READERS["without_scopes"][1](scan)
    taken = next(entry for entry in shown.draw.log if entry.id == row["change"])
    assert (taken.component, taken.day) == (component, max(days))
    [row] = READERS["without_log"][1](scan)
    assert row["change"] == UNATTRIBUTED


def row(stage: str, first: str, last: str, value: str) -> dict[str, object]:
    return {"stage": stage, "date_from": first, "date_to": last, "segment": {"country": value}}


def test_a_combination_takes_rows_by_votes_and_one_of_a_run() -> None:
    us, uk = (row("orders", "2024-01-03", "2024-01-05", name) for name in ("us", "uk"))
    later = row("orders", "2024-01-06", "2024-01-06", "us")
    reports = {"a": [us, later], "b": [uk, later], "c": [uk]}
    assert Combination(("a", "b", "c")).rows(reports) == [later, uk, us]
    assert Combination(("a", "b", "c"), votes=2).rows(reports) == [later, uk]
    assert Combination(("a", "b"), votes=2).rows(reports) == [later]
    assert Combination(("a", "b"), one_a_run=True).rows(reports) == [later, us]
    assert Combination(("b", "a"), one_a_run=True).rows(reports) == [later, uk]


@dataclass
class Scored:
    """An episode on which some members are worth something, and counts who was tried."""

    worth: dict[str, float]
    tried: list[Combination] = field(default_factory=list)

    def score(self, combination: Combination) -> float:
        self.tried.append(combination)
        return sum(self.worth.get(name, -0.05) for name in combination.members)


def test_the_search_is_bounded_repeats_itself_and_finds_what_is_better_together() -> None:
    one, other = MEMBERS[3], MEMBERS[-1]
    episode = Scored({one: 0.3, other: 0.2})
    best = best_combination([episode], "test")  # type: ignore[list-item]
    assert set(best.members) == {one, other}
    assert len(episode.tried) <= TRIES + len(MEMBERS)
    assert best_combination([Scored(episode.worth)], "test") == best  # type: ignore[list-item]
    assert not any(name.startswith(("pairs_by", WITHOUT, "every")) for name in MEMBERS)


@pytest.mark.slow
def test_the_adversary_plays_what_it_found_on_episodes_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(adversary, "KNOWN", 1)
    fitted.cache_clear()
    shown = found(CASES["tracking-loss"])
    assert 0.0 <= ADVERSARY.grade(Scan(shown.episode)).score <= 1.0
    assert set(fitted("drill_easy").members) <= set(MEMBERS)
    fitted.cache_clear()
    assert ADVERSARY.ceiling == (0.40, 0.10)
