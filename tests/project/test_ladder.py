"""Certificates of the rungs: the committed file, and a small sample of each rung."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from metric_tracker_rl.engine.configuration.splits import SPLITS
from metric_tracker_rl.engine.definitions.rungs import RUNG_LEVELS
from metric_tracker_rl.engine.episode.episode import build_episode
from metric_tracker_rl.engine.generation.calendar import LATE_DATA
from research.ladder.__main__ import RESULTS, current_versions
from research.ladder.certificate import (
    RungCertificate,
    ToolCertificate,
    certify_rung,
    list_deciding_tools,
    list_drawn_terms,
)
from research.ladder.episodes import choose_reference_ids, play_reference
from research.ladder.players import PatternTable

DOCUMENT: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8"))


def read_certificate(fields: dict[str, Any]) -> RungCertificate:
    tools = {name: ToolCertificate(**tool) for name, tool in fields["tools"].items()}
    return RungCertificate(**{**fields, "tools": tools})


CERTIFICATES = {fields["rung"]: read_certificate(fields) for fields in DOCUMENT["rungs"]}


def test_certificates_have_the_present_versions_and_every_rung() -> None:
    assert DOCUMENT["versions"] == current_versions()
    assert list(CERTIFICATES) == list(RUNG_LEVELS)


@pytest.mark.parametrize("rung", RUNG_LEVELS)
def test_certificate_covers_all_test_tasks_and_misses_no_bound(rung: str) -> None:
    certificate = CERTIFICATES[rung]
    assert certificate.tasks == SPLITS.size(f"test_{rung}") == 288
    assert certificate.training_tasks == SPLITS.size(f"train_{rung}") == 2400
    assert tuple(certificate.tools) == list_deciding_tools(rung)
    assert tuple(certificate.terms) == list_drawn_terms(rung)
    assert certificate.list_missed_bounds() == []


def test_first_rung_is_a_lookup_and_each_other_rung_adds_something_to_read() -> None:
    assert CERTIFICATES["rung_1"].pattern_table > 0.9
    needed = [
        {*list_deciding_tools(rung), *list_drawn_terms(rung), RUNG_LEVELS[rung].scan_lists}
        for rung in RUNG_LEVELS
    ]
    assert all(later - earlier for earlier, later in pairwise(needed))


def test_missed_bounds_are_listed() -> None:
    good = CERTIFICATES["rung_2"]
    tool = ToolCertificate(0.6, 0.4, "a rule")
    missed = replace(good, reference=0.9, pattern_table=0.5, tools={"calendar": tool})
    assert len(missed.list_missed_bounds()) == 4


@pytest.mark.parametrize("rung", RUNG_LEVELS)
def test_sample_of_a_rung_agrees_with_its_certificate(rung: str) -> None:
    sample = certify_rung(rung, test_tasks=12, training_tasks=48)
    assert sample.reference == 1.0
    assert tuple(sample.tools) == list_deciding_tools(rung)
    for tool in sample.tools.values():
        assert tool.result_of_another_episode < 1.0
        assert tool.ignored < 1.0
    is_lookup = rung == "rung_1"
    assert (sample.pattern_table > 0.7) == is_lookup


@pytest.mark.parametrize("rung", ["rung_2", "rung_3", "rung_4", "rung_5"])
def test_every_episode_has_decoys_of_all_kinds_that_only_the_calendar_explains(rung: str) -> None:
    kinds: Counter[str] = Counter()
    for index in range(48):
        calendar = build_episode(SPLITS.task(f"train_{rung}", index).config).generated.calendar
        decoys = [entry for entry in calendar if entry.explains]
        assert len(decoys) == RUNG_LEVELS[rung].decoys == 2
        assert len({entry.day for entry in calendar}) == len(calendar)
        assert sum(entry.kind == LATE_DATA for entry in decoys) <= 1
        kinds.update(entry.kind for entry in decoys)
        played = play_reference(f"train_{rung}", index)
        ids = choose_reference_ids(
            played, lambda name, result: {**result, "rows": []} if name == "calendar" else result
        )
        dates_of_ids = {row.date for row in played.series if row.series_id in ids - played.root_ids}
        assert {played.dates[entry.day] for entry in decoys} <= dates_of_ids
    assert len(kinds) == 4
    assert min(kinds.values()) >= 12


@pytest.mark.parametrize("rung", ["rung_3", "rung_4", "rung_5"])
def test_every_other_suspended_rule_changes_the_report(rung: str) -> None:
    for index in range(12):
        played = play_reference(f"train_{rung}", index)
        (overview,) = played.results["overview"]
        assert overview["suspended_rule"] in range(2, 7)
        for rule in {None, *range(2, 7)} - {overview["suspended_rule"]}:

            def assume(name: str, result: Any, rule: int | None = rule) -> Any:
                return {**result, "suspended_rule": rule} if name == "overview" else result

            assert choose_reference_ids(played, assume) != played.root_ids


@pytest.mark.parametrize("rung", ["rung_3", "rung_4", "rung_5"])
def test_drawn_terms_are_stated_by_overview_only(rung: str) -> None:
    played = play_reference(f"train_{rung}", 0)
    config = played.reset_observation["config"]
    assert config["drawn_terms"] is True
    assert not {"suspended_rule", "leak_reports"} & config.keys()
    assert ("thresholds" in config) == (rung == "rung_3")


def test_pattern_table_answers_with_the_most_frequent_roots_of_a_pattern() -> None:
    first, second = (play_reference("train_rung_1", index).series for index in (0, 1))
    table = PatternTable()
    table.add_episode(first)
    roots = frozenset(row.series_id for row in first if row.is_root)
    assert table.choose_ids(first) == roots
    wrong = [row._replace(is_root=False) for row in first]
    for _ in range(2):
        table.add_episode(wrong)
    assert table.choose_ids(first) == frozenset()
    assert PatternTable().choose_ids(second) == frozenset()
