"""Certificates of the drill-down tier: they hold, and they notice what would break them."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from metric_tracker_rl.drilldown import agreement, certificate
from metric_tracker_rl.drilldown.agreement import can_be_undone
from metric_tracker_rl.drilldown.baselines import by_stage, global_median, median_of_weekday
from metric_tracker_rl.drilldown.building import generate
from metric_tracker_rl.drilldown.certificate import (
    certificate_from,
    certify_one,
    grid,
    summary,
    table,
    variations,
)
from metric_tracker_rl.drilldown.channel import Channel, over_days
from metric_tracker_rl.drilldown.config import DrillConfig
from metric_tracker_rl.drilldown.definition import Known, answer_under, people_of, settle
from metric_tracker_rl.drilldown.domains import DOMAINS
from metric_tracker_rl.drilldown.levels import LEVELS
from metric_tracker_rl.drilldown.rivals import explaining
from metric_tracker_rl.policies import POLICIES

SOME = [
    DrillConfig(81, "drill_easy", "ordering_app", 2),
    DrillConfig(82, "drill", "saas_trial", 2),
    DrillConfig(83, "drill_hard", "marketplace_checkout", 2),
    DrillConfig(84, "drill_hard", "video_streaming", 0),
]


@pytest.mark.slow
@pytest.mark.parametrize("config", SOME, ids=lambda c: f"{c.difficulty}-{c.product}")
def test_a_certificate_holds_and_is_read_again(config: DrillConfig) -> None:
    made = certify_one(config)
    assert made.holds
    assert made.moved_by == ()
    assert made.config.difficulty != "drill_hard" or made.hidden == made.roots
    assert certificate_from(json.loads(json.dumps(made.as_dict()))) == made
    titles, [row] = table([made])
    assert len(titles) == len(row)
    assert summary([made]).startswith(f"{made.roots} roots")


@pytest.mark.slow
def test_what_would_break_a_certificate_breaks_it(monkeypatch: pytest.MonkeyPatch) -> None:
    made = certify_one(SOME[0])
    for change in (
        {"score": 0.99},
        {"numbers": 10**6},
        {"unique": False},
        {"caused": made.causes - 1},
        {"quiet": False},
        {"dissent": ("somebody",)},
    ):
        assert not replace(made, **change).holds
    monkeypatch.setitem(agreement.DETECTORS, "global_median", (global_median, Channel))
    assert certify_one(SOME[0]).dissent == ("global_median",)
    monkeypatch.setattr(certificate, "REFERENCE", POLICIES["null"])
    assert certify_one(SOME[0]).score == 0.0


def test_there_are_fourteen_variations_and_every_product_is_certified() -> None:
    assert len(variations()) == 14
    made = [(c.difficulty, c.product, c.causes) for c in grid(range(7, 8))]
    assert made == list(product(LEVELS, DOMAINS, range(5)))
    assert len(list(grid(range(100)))) == 8_000
    [one, *_] = grid(range(3, 4), difficulties=["drill"], products=["saas_trial"])
    assert one == DrillConfig(3, "drill", "saas_trial", 0)


def test_nothing_is_ruled_out_early_that_could_explain_a_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    draw, episode = generate(DrillConfig(44, "drill_hard", "saas_trial", 2))
    stages = by_stage(draw.counts)
    people = people_of(episode.cube, stages)
    answer = answer_under(episode.cube, stages, people, median_of_weekday(stages))
    assert answer is not None
    ruled_out = 0
    for run in answer.runs:
        channel, days = answer.channels[run.channel], slice(run.first, run.stop)
        for cell in [*run.cells, *range(0, episode.cube.cells, 9)]:
            found = channel.left(days, [cell], False)
            ruled_out += int(channel.moved_beside(days, [cell]).any())
            with monkeypatch.context() as patch:
                patch.setattr(Channel, "moved_beside", lambda *_: np.zeros((1, 1), dtype=bool))
                assert channel.left(days, [cell], False) == found
    assert ruled_out > 100


@pytest.mark.parametrize("product", ["saas_trial", "marketplace_checkout"])
def test_explanations_tried_together_are_those_tried_one_by_one(product: str) -> None:
    draw, episode = generate(DrillConfig(44, "drill_easy", product, 2))
    stages = by_stage(draw.counts)
    people = people_of(episode.cube, stages)
    answer = answer_under(episode.cube, stages, people, median_of_weekday(stages))
    assert answer is not None
    found = []
    for run in answer.runs:
        channel, days = answer.channels[run.channel], slice(run.first, run.stop)
        sums = (over_days(each[:, days]) for each in (channel.weight, channel.surplus))
        mixed, _ = channel.mixes(*sums)
        one_by_one = [
            cell
            for cell in episode.cube.candidates.tolist()
            if channel.left(days, [cell], bool(mixed[cell])) is not None
        ]
        assert explaining(channel, run.first, run.stop) == one_by_one
        found += one_by_one
    assert found


def test_a_cause_is_taken_back_by_weekday_as_in_the_whole() -> None:
    draw, episode = generate(DrillConfig(5, "drill_hard", "ordering_app", 3))
    weekdays = [cause.effects[0].first % 7 for cause in draw.causes]
    assert len(set(weekdays)) < 3, "nobody else's run is explained anew"
    known: Known = {}
    assert settle(episode.cube, by_stage(draw.counts), known=known) is not None
    asked = episode.cube, draw.clean
    for taken in (*([cause] for cause in draw.causes), list(draw.causes)):
        assert agreement._quickly_undone(*asked, draw.causes, taken, known)
        assert can_be_undone(*asked, draw.causes, taken, {})
    first, *others = draw.causes
    misnamed = [first, *(replace(cause, roots=()) for cause in others)]
    known[agreement.roots_of_causes(misnamed)] = known[draw.roots]
    assert not agreement._quickly_undone(*asked, misnamed, [first], known)
    assert not can_be_undone(*asked, misnamed, [first], {})
