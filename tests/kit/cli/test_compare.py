"""`metric-tracker compare`: figures equal a second computation; mixed results are rejected."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from openenv_kit.environment import get_environment
from openenv_kit.results.comparison_page import compare_players, write_comparison_page
from openenv_kit.results.player_summary import summarize_player
from openenv_kit.results.scored_episodes import (
    NAMED_TASKS,
    PlayerResults,
    ScoredEpisode,
    read_and_merge_player_results,
    select_rollouts_of_split,
)
from support.command_line import run_cli
from support.recorded_runs import record_split

FUNNEL = get_environment("metric_tracker_rl")
EPISODES = 100


def play(score: float | None, **others: Any) -> ScoredEpisode:
    named = {"task_id": "easy_single_spike"}
    fields = {"task": "a", "reset": named, "tool_calls": 1, **others}
    return ScoredEpisode(score=score, **fields)


def player(name: str, *plays: ScoredEpisode) -> PlayerResults:
    return PlayerResults(name, f"{name}.json", FUNNEL.versions, plays)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two scripted players, the same episodes each."""
    folder = tmp_path_factory.mktemp("recordings")
    paths = [folder / "median_filter.jsonl", folder / "upstream_first.jsonl"]
    for path in paths:
        record_split(path, path.stem, range(EPISODES))
    return paths


def scores_of(path: Path) -> list[float]:
    events = [json.loads(line) for line in path.read_text().splitlines()]
    return [event["score"] for event in events if event["event"] == "end"]


def normal_interval(values: Sequence[float]) -> tuple[float, float]:
    half = 1.96 * statistics.stdev(values) / math.sqrt(len(values))
    return statistics.fmean(values) - half, statistics.fmean(values) + half


@pytest.mark.slow
def test_the_figures_are_those_of_a_second_computation(
    recordings: list[Path], tmp_path: Path
) -> None:
    out, page = tmp_path / "figures.json", tmp_path / "page.html"
    done = run_cli(
        "compare", *recordings, "--environment", FUNNEL.name, "--out", out, "--page", page
    )
    assert done.exit_code == 0, done.output
    figures = json.loads(out.read_text())
    scores = [scores_of(path) for path in recordings]
    for mine, one, path in zip(figures["players"], scores, recordings, strict=True):
        assert (mine["name"], mine["plays"], mine["errors"]) == (path.stem, EPISODES, 0)
        assert mine["mean"] == pytest.approx(sum(one) / EPISODES)
        assert dict(mine["passes"])[1] == pytest.approx(one.count(1.0) / EPISODES)
        low, high = normal_interval(one)
        assert mine["interval"] == pytest.approx([low, high], abs=0.1 * (high - low))
        assert mine["error"] == pytest.approx((high - low) / 2 / 1.96)
        assert f"{mine['error']:.4f}" in done.output
        assert f"{mine['error']:.4f}" in page.read_text()
        assert f"{mine['mean']:.4f}" in done.output
        assert f"{mine['mean']:.4f}" in page.read_text()
    (paired,) = figures["paired"]
    differences = [a - b for a, b in zip(*scores, strict=True)]
    low, high = normal_interval(differences)
    assert paired["mean"] == pytest.approx(statistics.fmean(differences))
    assert paired["interval"] == pytest.approx([low, high], abs=0.1 * (high - low))
    for kind in ("level", "family"):
        for number in (0, 1):
            groups = [each[number] for each in figures["groups"][kind].values()]
            weighted = sum(each["mean"] * each["tasks"] for each in groups)
            assert weighted / EPISODES == pytest.approx(figures["players"][number]["mean"])


def test_failed_rollout_is_counted_and_not_scored_zero(tmp_path: Path) -> None:
    plays = [
        play(1.0),
        play(None),
        play(0.5, reset={"task_id": "hard_mixed_multi"}),
    ]
    some = summarize_player(player("some", *plays))
    assert (some.rollout_count, some.error_count, some.task_count, some.mean) == (2, 1, 2, 0.75)
    none = summarize_player(player("none", play(None)))
    assert (none.rollout_count, none.error_count, none.mean, none.interval) == (0, 1, None, None)
    comparison = compare_players(
        [player("some", *plays), player("none", play(None))], NAMED_TASKS, FUNNEL
    )
    write_comparison_page(comparison, tmp_path / "page.html")
    html = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "1 error" in html


def test_rollouts_of_one_episode_are_resampled_together() -> None:
    feedback = {"task_id": "easy_single_spike", "feedback": "score"}
    plays = [play(1.0), play(1.0), play(1.0, reset=feedback), play(0.0)]
    some = summarize_player(
        player("some", *plays, play(0.0, reset={"task_id": "hard_mixed_multi"}))
    )
    assert some.task_count == 2
    assert some.mean == pytest.approx(0.375)
    assert dict(some.pass_rates) == {1: pytest.approx(0.375), 4: 0.0, 8: None}
    assert summarize_player(player("one", *plays)).interval is None


def test_figure_missing_in_some_rollouts_has_no_mean() -> None:
    some = summarize_player(
        player("some", play(1.0, tokens=100, cost_usd=0.1), play(1.0, cost_usd=0.3))
    )
    assert some.tokens is None
    assert some.cost_usd == pytest.approx(0.2)


def results(**changed: Any) -> dict[str, Any]:
    """Results as inference.py writes them, of one failed play and one that was graded."""
    graded = {
        "task_id": "easy_single_spike",
        "reset": {"task_id": "easy_single_spike"},
        "status": "evaluated",
        "score": 0.25,
        "steps": 3,
        "model_calls": 2,
        "prompt_tokens": 100,
        "completion_tokens": 20,
        "uncounted_calls": 0,
        "cost_usd": 0.01,
        "seconds": 1.5,
    }
    failed = {**graded, "status": "failed", "score": 0.0}
    return {
        "format": "metric-tracker-results/1",
        "environment": FUNNEL.name,
        "versions": dict(FUNNEL.versions),
        "player": "some model",
        "tasks": [graded, failed],
        **changed,
    }


def written(path: Path, content: dict[str, Any]) -> Path:
    path.write_text(json.dumps(content, indent=2))
    return path


def test_results_and_recordings_are_read_and_renamed(tmp_path: Path) -> None:
    one = written(tmp_path / "one.json", results())
    (tmp_path / "folder").mkdir()
    for index in (0, 1):
        record_split(tmp_path / "folder" / f"{index}.jsonl", "null", [index])
    found = read_and_merge_player_results(
        [("", one), ("mine", one), ("", tmp_path / "folder")], FUNNEL
    )
    assert [each.name for each in found] == ["some model", "mine", "null"]
    (graded, failed) = found[0].rollouts
    assert (graded.score, graded.tokens, graded.cost_usd, graded.seconds) == (0.25, 120, 0.01, 1.5)
    assert failed.score is None
    assert [each.task for each in found[2].rollouts] == ["validation-0", "validation-1"]


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        ({"versions": {**FUNNEL.versions, "generator": "1"}}, "generator version '1'"),
        ({"versions": {"tasks": "2"}}, "tasks version '2'"),
        ({"environment": "firewatch-env"}, "environment 'firewatch-env'"),
    ],
)
def test_other_versions_and_environments_are_refused_by_name(
    tmp_path: Path, others: dict[str, Any], expected: str
) -> None:
    right = written(tmp_path / "right.json", results())
    wrong = written(tmp_path / "wrong.json", results(player="other", **others))
    done = run_cli("compare", right, wrong, "--environment", FUNNEL.name)
    assert done.exit_code == 2
    said = " ".join(done.output.replace("│", " ").split())
    assert expected in said
    assert "wrong.json" in said.replace(" ", "")


def test_plays_of_an_older_release_are_compared_but_not_grouped(tmp_path: Path) -> None:
    old = {**FUNNEL.versions, "generator": "1"}
    path = written(tmp_path / "old.json", results(versions=old))
    comparison = compare_players(
        read_and_merge_player_results([("", path), ("again", path)], FUNNEL), NAMED_TASKS, FUNNEL
    )
    assert comparison.versions == old
    assert comparison.summaries_by_label == {}


def test_splits_are_not_mixed() -> None:
    test = {"split": "test", "index": 0}
    players = [player("one", play(1.0)), player("two", play(1.0), play(1.0, reset=test))]
    with pytest.raises(ValueError, match=r"two has named tasks and test.*--split"):
        select_rollouts_of_split(players)
    kept, split = select_rollouts_of_split(players, NAMED_TASKS)
    assert (split, [len(each.rollouts) for each in kept]) == (NAMED_TASKS, [1, 1])
    with pytest.raises(ValueError, match=r"one has .*'test'"):
        select_rollouts_of_split(players, "test")
    with pytest.raises(ValueError, match="Did you mean 'test'"):
        select_rollouts_of_split(players, "tets")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{}", "not a line of a recorded run"),
        ("", "contains no run"),
        ('{"event": "start", "format": "other/1"}', "other/1"),
    ],
)
def test_a_file_of_another_kind_is_refused(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"other\.json") as problem:
        read_and_merge_player_results([("", path)], FUNNEL)
    assert expected in str(problem.value) or "unknown event" in str(problem.value)


def test_a_path_that_does_not_exist_is_named() -> None:
    done = run_cli("compare", "no/such.json")
    assert done.exit_code == 2
    assert "no/such.json" in done.output
