"""Signal: the share of groups whose rewards differ."""

from __future__ import annotations

import json
import random
from itertools import combinations
from pathlib import Path
from statistics import fmean

import pytest

from openenv_kit.environment import get_environment
from openenv_kit.results.player_summary import summarize_player
from openenv_kit.results.scored_episodes import PlayerResults, ScoredEpisode
from openenv_kit.results.signal import (
    mean_share_of_groups_with_signal_over_tasks,
    measure_signal_by_level_and_mode,
)
from research.graded_players import GRADED_PLAYERS, build_player, measure_rewards
from support.command_line import run_cli

FUNNEL = get_environment("metric_tracker_rl")


def test_a_group_has_signal_where_two_of_its_rewards_differ_by_more_than_a_hundredth() -> None:
    assert (
        mean_share_of_groups_with_signal_over_tasks(
            [[0.5, 0.51], [0.5, 0.511], [0.0, 1.0], [1.0, 1.0]], 2
        )
        == 0.5
    )


def test_the_share_is_that_of_all_groups_that_can_be_chosen() -> None:
    draws = random.Random(3)
    tasks = [[draws.choice((0.0, 0.005, 0.3, 1.0)) for _ in range(9)] for _ in range(20)]
    counted = [
        fmean(max(group) - min(group) > 0.01 for group in combinations(task, 4)) for task in tasks
    ]
    assert mean_share_of_groups_with_signal_over_tasks(tasks, 4) == pytest.approx(fmean(counted))
    assert 0.1 < fmean(counted) < 1.0


def test_signal_of_coin_flips_is_the_expected_share() -> None:
    draws = random.Random(4)
    tasks = [[float(draws.random() < 0.5) for _ in range(8)] for _ in range(2000)]
    assert mean_share_of_groups_with_signal_over_tasks(tasks) == pytest.approx(
        1 - 2 * 0.5**8, abs=0.01
    )


def test_task_with_fewer_rollouts_than_a_group_is_skipped() -> None:
    assert mean_share_of_groups_with_signal_over_tasks([[0.0, 1.0]], 3) is None
    assert mean_share_of_groups_with_signal_over_tasks([[0.0, 1.0], [1.0, 1.0, 1.0]], 3) == 0.0


def plays(
    scores: list[float], index: int, tokens: int | None = 500, **reset: str
) -> list[ScoredEpisode]:
    made = {"split": "test", "index": index, **reset}
    return [ScoredEpisode("a", made, score, 3, tokens=tokens) for score in scores]


def test_lines_are_by_level_and_mode_and_count_what_a_thousand_tokens_buy() -> None:
    mine = [*plays([0.0, 1.0], 0), *plays([0.0, 0.0], 0, reward="exact"), *plays([1.0], 1, None)]
    player = PlayerResults("some", "file", FUNNEL.versions, mine)
    found = {
        (each.level, each.mode.get("reward")): each
        for each in measure_signal_by_level_and_mode([player], FUNNEL, 2)
    }
    level, other = (
        FUNNEL.build_result_labels({"split": "test", "index": i})["level"] for i in (0, 1)
    )
    graded = found[level, None]
    assert (graded.signal, graded.task_count, graded.mean_reward, graded.mean_tokens) == (
        1.0,
        1,
        0.5,
        500,
    )
    assert graded.groups_with_signal_per_1000_tokens == 1.0, "a group costs two plays of 500 tokens"
    assert found[level, "exact"].signal == 0.0
    assert (found[other, None].signal, found[other, None].groups_with_signal_per_1000_tokens) == (
        None,
        None,
    )


def test_an_older_release_s_plays_are_measured_without_their_level() -> None:
    player = PlayerResults(
        "some", "file", {**FUNNEL.versions, "generator": "1"}, plays([0.0, 1.0], 0)
    )
    (line,) = measure_signal_by_level_and_mode([player], FUNNEL, 2)
    assert (line.level, line.signal) == ("", 1.0)
    assert summarize_player(player, 2).signal == 1.0
    assert summarize_player(player).signal is None


def test_signal_command_prints_smaller_group_sizes(tmp_path: Path) -> None:
    task = {
        "task_id": "test-0", "reset": {"split": "test", "index": 0}, "status": "evaluated",
        "steps": 3, "model_calls": 2, "prompt_tokens": 900, "completion_tokens": 100,
        "uncounted_calls": 0, "cost_usd": None, "seconds": 1.0,
    }  # fmt: skip
    results = {
        "format": "metric-tracker-results/1", "environment": FUNNEL.name, "player": "some",
        "versions": dict(FUNNEL.versions), "tasks": [{**task, "score": s} for s in (0.25, 0.5)],
    }  # fmt: skip
    path = tmp_path / "results.json"
    path.write_text(json.dumps(results))

    def run(*more: str) -> str:
        done = run_cli("signal", str(path), "--environment", FUNNEL.name, *more)
        assert done.exit_code == 0, done.output
        return " ".join(done.output.split())

    assert "0.375 │ 1.000 │ - │ 0.5000" in run("--group", "2")
    assert "No task has 8 rollouts; the most is 2" in run()


def test_recordings_of_another_environment_are_refused_by_name(tmp_path: Path) -> None:
    start = {
        "event": "start", "format": "run/2", "player": "some", "digest": "0" * 64,
        "reset": {"split": "test", "index": 0}, "versions": dict(FUNNEL.versions),
    }  # fmt: skip
    path = tmp_path / "run.jsonl"
    path.write_text(json.dumps(start) + "\n")
    command = ["signal", str(path), "--environment"]
    done = run_cli(*command, "drilldown")
    output = " ".join(done.output.replace("│", " ").split())
    assert (done.exit_code, "'drilldown' does not have" in output) == (2, True), output
    assert run_cli(*command, FUNNEL.name).exit_code == 0


# The ladder of players


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "index", "mode"),
    [
        ("metric_tracker_rl", 0, {"profile": "standard"}),
        ("metric_tracker_rl", 0, {"profile": "lean"}),
        ("drilldown", 10, {}),
        ("firewatch", 1, {}),
    ],
)
def test_stronger_policy_of_the_ladder_scores_more(
    name: str, index: int, mode: dict[str, str]
) -> None:
    environment = get_environment(name)
    reset = {"split": "validation", "index": index, **mode}
    paid = {
        each.name: [
            measure_rewards(environment, build_player(environment, reset, each, str(n)), reset)
            for n in range(8)
        ]
        for each in GRADED_PLAYERS
    }
    means = {name: fmean(each["graded"] for each in plays) for name, plays in paid.items()}
    assert means["random legal"] < means["half right"] < means["one mistake in ten"]
    assert means["one mistake in ten"] > 0.5
    again = build_player(environment, reset, GRADED_PLAYERS[2], "0")
    assert measure_rewards(environment, again, reset) == paid["half right"][0]
