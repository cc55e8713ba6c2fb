"""The framework's validity checks, and defects that each of them detects."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from metric_tracker_rl.engine.certification.certify import certify_episode
from metric_tracker_rl.engine.configuration import splits
from metric_tracker_rl.engine.configuration.episode_config import (
    EpisodeConfig,
)
from metric_tracker_rl.engine.configuration.tasks import DEFAULT_TASK_ORDER
from metric_tracker_rl.engine.definitions.anomaly_types import MIXED
from metric_tracker_rl.engine.definitions.levels import LEVELS
from metric_tracker_rl.engine.definitions.versions import GENERATOR_VERSION
from metric_tracker_rl.engine.grading import grader
from metric_tracker_rl.engine.grading.grader import grade_report
from metric_tracker_rl.engine.report.parse_report import SubmittedReport
from metric_tracker_rl.engine.session import episode_session
from metric_tracker_rl.engine.session.episode_session import EpisodeSession
from metric_tracker_rl.environment import ENVIRONMENT
from metric_tracker_rl.exploits import EXPLOITS
from metric_tracker_rl.exploits.probing import iter_report_rows_in_reply
from metric_tracker_rl.exploits.raw import RAW_EXPLOITS
from metric_tracker_rl.policies import get_policy
from openenv_kit import splits as hashed
from openenv_kit.serving.openenv_adapter import OpenEnvAdapter
from openenv_kit.trust.audit import AuditJob as AuditJob
from openenv_kit.trust.audit import run_job
from openenv_kit.trust.exploits import ZERO_CEILING, ExploitRunner
from openenv_kit.variables import SALT_VARIABLE
from support.recorded_runs import record_runs

AUDIT = ENVIRONMENT.audit
SALT = "one salt for tests, of forty characters."
STATE_FIELDS = {
    *("episode_id", "step_count", "task_id", "status"),
    *("max_steps", "submissions", "max_submissions", "profile", "disclosure", "policy"),
}


def environment(**reset: Any) -> tuple[OpenEnvAdapter, dict[str, Any]]:
    env = OpenEnvAdapter()
    return env, env.reset(**reset).model_dump()


def step(env: OpenEnvAdapter, action: dict[str, Any]) -> dict[str, Any]:
    return env.step(action).model_dump()


def right_rows(env: OpenEnvAdapter) -> list[dict[str, Any]]:
    episode = env.session.episode
    assert episode is not None
    return [row.as_dict() for row in episode.expected_rows]


def raw(env: OpenEnvAdapter) -> dict[str, Any]:
    action = {"analysis_method": "show_raw_data", "analysis_args": {"limit": 60}}
    return step(env, action)["analysis_result"]


def earned(policy: str, level: str, number: int = 0) -> float:
    player = AUDIT.get_exploit_or_baseline(policy).policy
    reset = AUDIT.build_reset_arguments(level, number, player.max_submissions)
    if policy in RAW_EXPLOITS:
        reset |= {"disclosure": "raw"}
    return ExploitRunner(ENVIRONMENT).run_policy_beyond_episode_end(player, reset).score


score = cache(earned)


def check_state_and_opening_are_silent() -> None:
    env, opening = environment(task_id="hard_mixed_multi")
    rows = right_rows(env)
    assert list(iter_report_rows_in_reply(opening)) == []
    state = env.state.model_dump()
    assert set(state) == STATE_FIELDS
    assert not any(row["date"] in json.dumps(state) for row in rows)


def check_a_repeated_row_costs() -> None:
    env, _ = environment(task_id="easy_single_spike")
    rows = right_rows(env)
    assert step(env, {"classifications": [*rows, rows[0]]})["reward"] < 1.0


def check_a_practice_submission_costs() -> None:
    env, _ = environment(task_id="easy_single_spike", max_submissions=2)
    rows = right_rows(env)
    assert step(env, {"classifications": rows[:1]})["reward"] == 0.0
    assert step(env, {"classifications": rows})["reward"] == 0.9


def check_the_salt_decides_the_sealed_tasks() -> None:
    seeds = []
    for end in "ab":
        with pytest.MonkeyPatch.context() as variables:
            variables.setenv(SALT_VARIABLE, SALT + end)
            tasks = [splits.SPLITS.task(splits.SEALED_SPLIT, index) for index in range(20)]
        seeds.append([task.config.seed for task in tasks])
    assert all(one != other for one, other in zip(*seeds, strict=True))


def test_seed_control() -> None:
    one, opening = environment(seed=101, difficulty="hard")
    same, _ = environment(seed=101, difficulty="hard")
    other, _ = environment(seed=102, difficulty="hard")
    assert raw(one) == raw(same) != raw(other)
    assert "seed" not in opening["config"]


def test_episode_determinism() -> None:
    plays = []
    for _ in range(2):
        env, opening = environment(task_id="medium_mixed_pair", episode_id="one")
        seen = raw(env)
        end = step(env, {"payload_generators": [{"method_name": "median_filter"}]})
        assert end["done"]
        plays.append((opening, seen, end))
    assert plays[0] == plays[1]


def test_episode_isolation() -> None:
    one, _ = environment(task_id="easy_single_spike", episode_id="same")
    other, _ = environment(task_id="hard_mixed_multi", episode_id="same")
    before = raw(other)
    assert step(one, {"classifications": right_rows(one)})["reward"] == 1.0
    assert one.state.status == "completed"
    assert other.state.status == "running"
    assert raw(other) == before
    assert all(score("other_session", level) == 0.0 for level in LEVELS)


def test_oracle_containment() -> None:
    check_state_and_opening_are_silent()
    env, _ = environment(task_id="hard_mixed_multi")
    for action in ({"analysis_method": "nothing"}, {"classifications": 5}, {"debug": True}):
        assert list(iter_report_rows_in_reply(step(env, action))) == []
    assert score("debug_probing", "hard") == 0.0


@pytest.mark.slow
def test_oracle_max() -> None:
    for task in DEFAULT_TASK_ORDER:
        assert (
            ExploitRunner(ENVIRONMENT)
            .run_policy_beyond_episode_end(get_policy("reference"), {"task_id": task})
            .score
            == 1.0
        )
    assert all(score("reference", level, n) == 1.0 for level in LEVELS for n in range(4))


def test_floor_gap() -> None:
    for level in LEVELS:
        floor = [score(name, level, n) for name in ("null", "random") for n in range(4)]
        assert max(floor) < 0.3
        assert sum(floor) / len(floor) < 0.05
        assert score("reference", level) - max(floor) > 0.5


def test_canary_floor() -> None:
    env, _ = environment(task_id="hard_mixed_multi")
    assert step(env, {})["reward"] == 0.0  # the empty action is an empty report
    quitter, _ = environment(task_id="hard_mixed_multi", max_steps=3)
    rewards = [step(quitter, {"analysis_method": "list_dates"})["reward"] for _ in range(6)]
    assert rewards == [0.0] * 6
    calm, _ = environment(seed=5, scenario_family="mixed", anomaly_count=0)
    assert step(calm, {})["reward"] == 1.0  # and is right where there is nothing


def test_no_solution_leakage() -> None:
    check_state_and_opening_are_silent()
    env, _ = environment(task_id="hard_mixed_multi", max_submissions=2)
    right = right_rows(env)
    practice = step(env, {"classifications": right[:1]})
    assert list(iter_report_rows_in_reply(practice)) == []
    final = step(env, {"classifications": right[:1]})
    unsaid = [row for row in iter_report_rows_in_reply(final) if row not in right[:1]]
    assert unsaid == []
    assert all(issue["expected_row"] is None for issue in final["submission_issues"])


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [name for name, each in EXPLOITS.items() if each.ceiling is ZERO_CEILING]
)
def test_adversarial_floor(name: str) -> None:
    assert [score(name, level, n) for level in LEVELS for n in range(2)] == [0.0] * 8


@pytest.mark.slow
def test_gameability_gap() -> None:
    work = [
        AuditJob(name, level, 0, 4, MIXED)
        for name in (
            "report_flagged",
            "threshold_sweep",
            "extreme_per_day",
            "one_per_family_matched",
        )
        for level in LEVELS
    ]
    table = AUDIT.build_audit_lines(run_job(job) for job in work)
    assert len(table) == 16
    assert all(line.max_mean is not None for line in table)
    assert [(line.policy, line.difficulty, line.mean) for line in table if line.mean > 0.5] == []


@pytest.mark.slow
def test_difficulty_separation() -> None:
    means = []
    for level in LEVELS:
        # Slow gains add up over several steps, so rate anomalies say little of a level.
        rows = [
            row.margin
            for seed in range(24)
            for row in certify_episode(
                EpisodeConfig(seed, "absolute_spike_in_event_count", level)
            ).rows
        ]
        means.append(sum(margin or 0.0 for margin in rows) / len(rows))
    assert means == sorted(means, reverse=True)
    assert means[0] - means[2] > 0.1


def test_verifier_determinism() -> None:
    episode = EpisodeSession()
    episode.reset(task_id="hard_mixed_multi")
    assert episode.episode is not None
    right = list(episode.episode.expected_rows)
    given = [*right, right[0]]
    scores = set()
    for shuffle in range(8):
        random.Random(shuffle).shuffle(given)
        scores.add(grade_report(SubmittedReport(tuple(given), ()), right).score)
    assert len(scores) == 1
    assert scores != {1.0}


def replayed(path: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "openenv_kit.cli", "replay", str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_replayability(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    record_runs(path, "reference", [{"task_id": task} for task in DEFAULT_TASK_ORDER])
    done = replayed(path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 runs, 0 that differ" in done.stdout
    path.write_text(path.read_text().replace('"score":1.0', '"score":0.7', 1))
    assert replayed(path).returncode == 1
    ours = f'"generator":"{GENERATOR_VERSION}"'
    path.write_text(path.read_text().replace(ours, '"generator":"0"', 1))
    refused = replayed(path)
    assert refused.returncode == 2
    assert "generator" in refused.stderr


# Break one thing at a time: each must make the check it belongs to fail.


def broken(check: Callable[[], None]) -> None:
    check_failed = False
    try:
        check()
    except AssertionError:
        check_failed = True
    assert check_failed, f"{check.__name__} does not see the break"


def test_a_label_in_the_state_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    true_state = OpenEnvAdapter.state.fget  # type: ignore[attr-defined]

    def leaking(env: OpenEnvAdapter) -> Any:
        state = true_state(env)
        state.status = right_rows(env)[0]["date"]
        return state

    check_state_and_opening_are_silent()
    monkeypatch.setattr(OpenEnvAdapter, "state", property(leaking))
    broken(check_state_and_opening_are_silent)


def test_a_dropped_duplicate_penalty_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    check_a_repeated_row_costs()
    monkeypatch.setattr(grader, "DUPLICATE_PENALTY", (0.0, 0.0))
    broken(check_a_repeated_row_costs)


def test_a_second_submission_at_full_score_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    check_a_practice_submission_costs()
    monkeypatch.setattr(episode_session, "PRACTICE_COST", 0.0)
    broken(check_a_practice_submission_costs)


def test_an_ignored_salt_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    check_the_salt_decides_the_sealed_tasks()
    true_hash = hashed._compute_keyed_hash
    monkeypatch.setattr(
        hashed, "_compute_keyed_hash", lambda domain, _, text: true_hash(domain, "", text)
    )
    broken(check_the_salt_decides_the_sealed_tasks)


def test_a_preview_that_knows_the_labels_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    from metric_tracker_rl.analysis_tools import lookup

    true_preview = lookup.build_report_preview
    opened: list[Any] = []
    true_open = EpisodeSession.start_episode_from_view

    def opening(self: EpisodeSession, *given: Any) -> Any:
        opened.append(given[1].episode)
        return true_open(self, *given)

    def leaking(report: SubmittedReport) -> Any:
        shown = true_preview(report)
        keys = {row.key for row in opened[-1].expected_rows}
        shown.normalized_rows = [
            each.model_copy(update={"severity": "critical"}) if row.key in keys else each
            for row, each in zip(report.valid_rows, shown.normalized_rows, strict=True)
        ]
        return shown

    assert earned("preview_oracle", "easy") == 0.0
    monkeypatch.setattr(EpisodeSession, "start_episode_from_view", opening)
    monkeypatch.setattr(lookup, "build_report_preview", leaking)
    assert earned("preview_oracle", "easy") > 0.5


@pytest.mark.slow
def test_a_step_after_the_end_that_pays_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    true_step = EpisodeSession.step

    def forgetting(self: EpisodeSession, action: Any) -> Any:
        self.done = False
        return true_step(self, action)

    assert all(earned("after_the_end", "hard", n) == 0.0 for n in range(6))
    monkeypatch.setattr(EpisodeSession, "step", forgetting)
    assert any(earned("after_the_end", "hard", n) > 0.0 for n in range(6))
