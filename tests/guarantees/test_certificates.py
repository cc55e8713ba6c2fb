"""The commands that measure: certify, audit, replay and card; the calendar; pass^k."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from metric_tracker_rl import audit as plan
from metric_tracker_rl.engine.certification import certificate
from metric_tracker_rl.engine.certification.certificate import FunnelCertificate, certify_one
from metric_tracker_rl.engine.configuration.episode_config import EpisodeConfig
from metric_tracker_rl.engine.definitions.versions import GENERATOR_VERSION, GRADER_VERSION
from metric_tracker_rl.engine.generation.generate import generate_episode
from metric_tracker_rl.engine.generation.planned_anomaly import PlannedAnomaly
from metric_tracker_rl.engine.session.episode_session import EpisodeSession
from metric_tracker_rl.exploits import EXPLOITS, get_exploit
from metric_tracker_rl.exploits.base import ZERO_CEILING, register_exploit
from metric_tracker_rl.exploits.lean import LEAN_EXPLOITS
from metric_tracker_rl.exploits.raw import RAW_EXPLOITS
from metric_tracker_rl.policies.base import build_submit_action
from openenv_kit.cli import app
from openenv_kit.errors import UnknownNameError
from openenv_kit.results.statistics import pass_hat_k
from openenv_kit.trust.audit import AuditLine, mean_interval
from research.benchmark_report import second_play
from research.benchmark_report.__main__ import app as card_app

EXPERT = EpisodeConfig(3, "mixed", "expert", "high", 6)


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments))


@pytest.mark.slow
def test_an_episode_of_every_level_is_certified_with_its_margins() -> None:
    for level in ("easy", "medium", "hard", "expert"):
        found = certify_one(EpisodeConfig(9, "mixed", level, "high", 5))
        assert found.holds, found
        assert len(found.rows) == found.counterfactual == 5
        assert found.smallest_margin > 1.1


def test_an_episode_that_breaks_a_promise_gets_no_certificate(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = EpisodeConfig(9, "funnel_break", "easy", "low", 2)
    good = certify_one(config)
    assert good.holds
    for broken in (
        replace(good, score=0.999),
        replace(good, guard_violations=1),
        replace(good, unique=False),
        replace(good, counterfactual=1),
    ):
        assert not broken.holds
    # A generous grader makes reports beside the right one as good.
    monkeypatch.setattr("metric_tracker_rl.engine.grading.grader.DUPLICATE_PENALTY", (0.0, 0.0))
    assert not certify_one(config).unique


def test_a_row_that_outlives_its_cause_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    true_generate = certificate.generate_episode

    def mislaid(config: Any) -> Any:
        draw = true_generate(config)
        clean = draw.clean.copy()
        day = draw.planned_anomalies[0].day
        clean[day] = draw.hourly[day]  # the anomaly was in the clean data all along
        return replace(draw, clean=clean)

    config = EpisodeConfig(9, "hourly_traffic_mix_shift", "easy", "low", 2)
    monkeypatch.setattr(certificate, "generate_episode", mislaid)
    assert certify_one(config).counterfactual == 1


@pytest.mark.slow
def test_certificates_are_written_with_their_versions(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "proofs.jsonl"
    command = ("certify", "--seeds", "1", "--difficulty", "easy", "--workers", "1", "--out")
    assert run(*command, str(out)).exit_code == 0
    proofs = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(proofs) == 25
    assert all(each["versions"]["generator"] == GENERATOR_VERSION for each in proofs)


def test_an_unknown_engine_or_level_is_told_with_the_nearest() -> None:
    assert "Did you mean" in run("certify", "--engine", "rays").output
    assert run("audit", "--difficulty", "exprt").exit_code == 2


def test_certify_without_difficulty_leaves_out_the_rungs(monkeypatch: pytest.MonkeyPatch) -> None:
    certified: list[str] = []

    def record_levels(_: range, *, levels: list[str], extra_reset_arguments: object) -> list[Any]:
        certified.extend(levels)
        return []

    monkeypatch.setattr(certificate, "iter_configurations", record_levels)
    run("certify", "--seeds", "1", "--workers", "1")
    assert certified == ["easy", "medium", "hard", "expert"]


@pytest.mark.slow
def test_the_small_audit_holds_and_tells_every_policy(tmp_path: Path) -> None:
    out = tmp_path / "audit.json"
    # All but the one that listens to the clock.
    there = (
        *plan.BASELINE_POLICIES,
        *(name for name in EXPLOITS if name not in (*LEAN_EXPLOITS, *RAW_EXPLOITS)),
    )
    names = [name for name in there if name != "message_timing"]
    policies = [part for name in names for part in ("--policy", name)]
    where = ("--setting", "mixed", "--difficulty", "hard")
    options = ("--episodes", "1", "--workers", "1", *where, "--out", str(out))
    found = run("audit", *policies, *options)
    assert found.exit_code == 0, found.output
    lines = json.loads(out.read_text())["lines"]
    assert [line["policy"] for line in lines] == names
    assert all(line["holds"] and line["calls"] >= 1 for line in lines)


@pytest.mark.slow
def test_the_audit_fails_above_a_ceiling(monkeypatch: pytest.MonkeyPatch) -> None:
    cheat = replace(get_exploit("threshold_sweep"), ceiling=ZERO_CEILING)
    monkeypatch.setitem(EXPLOITS, "threshold_sweep", cheat)
    options = ("--episodes", "6", "--workers", "1", "--difficulty", "easy", "--setting", "mixed")
    found = run("audit", "--policy", "threshold_sweep", *options)
    assert found.exit_code == 1
    assert re.search(r"mixed .* easy .* threshold_sweep .* no ", found.output)
    assert "1 lines, 1 outside their limits." in found.output


def test_a_reference_below_one_is_outside_its_limits() -> None:
    line = AuditLine("reference", "easy", 4, 0.99, 0.9, 1.0, 0.9, 7, None, None, min_mean=1.0)
    assert not line.holds
    assert replace(line, mean=1.0).holds


def test_a_noisy_channel_may_be_lucky_and_is_caught_when_it_tells_something() -> None:
    lucky = AuditLine("message_timing", "easy", 200, 0.002, 0.0, 0.005, 0.0, 31, 0.0, 0.0)
    assert not lucky.holds
    assert replace(lucky, by_interval=True).holds
    assert not replace(lucky, by_interval=True, mean=0.1, low=0.06, high=0.14).holds
    assert get_exploit("message_timing").ceiling.is_checked_by_ci_low
    assert max(get_exploit("message_timing").ceiling.max_mean.values()) < 0.002
    assert not get_exploit("message_size").ceiling.is_checked_by_ci_low


def test_two_exploits_of_one_name_are_a_mistake_and_an_unknown_one_is_told() -> None:
    with pytest.raises(TypeError, match="declared twice"):
        register_exploit("report_flagged", ZERO_CEILING)(lambda _: iter([build_submit_action([])]))  # type: ignore[arg-type]
    with pytest.raises(UnknownNameError, match="Did you mean 'hill_climb'"):
        get_exploit("hill_climbs")


def test_an_interval_is_the_normal_one_and_stays_within_the_scale() -> None:
    mean, low, high = mean_interval([0.0, 1.0] * 50)
    assert mean == 0.5
    assert (round(low, 3), round(high, 3)) == (0.402, 0.598)
    assert mean_interval([1.0] * 9) == (1.0, 1.0, 1.0)
    assert mean_interval([0.4]) == (0.4, 0.4, 0.4)


def test_pass_hat_k_is_the_share_of_draws_of_k_that_are_all_perfect() -> None:
    assert pass_hat_k([True, True, False, False], 1) == 0.5
    assert pass_hat_k([True, True, False, False], 2) == pytest.approx(1 / 6)
    assert pass_hat_k([True] * 8, 8) == 1.0
    assert pass_hat_k([True] * 3, 4) is None


def test_expert_episodes_hold_eight_weeks_and_a_calendar_that_explains_decoys() -> None:
    draw = generate_episode(EXPERT)
    assert len(draw.dates) == 56
    kinds = {entry.kind for entry in draw.calendar}
    assert kinds == {"holiday", "promotion", "release_note", "late_data"}
    explained = {entry.day for entry in draw.calendar if entry.explains}
    labelled = {draw.dates.index(row.date) for row in draw.labels}
    assert not explained & labelled
    assert draw.calendar[-1].kind == "late_data"
    [empty] = [entry for entry in draw.calendar if not entry.explains]
    assert empty.day in labelled
    flagged = (abs(draw.series.deviations) >= draw.series.thresholds).any(axis=1)
    assert all(flagged[day] for day in explained)


def test_without_its_calendar_an_expert_episode_would_be_labelled_otherwise() -> None:
    from metric_tracker_rl.engine.reporting_policy.daily_series import DailySeries
    from metric_tracker_rl.engine.reporting_policy.labels import compute_labels

    draw = generate_episode(EXPERT)
    blind = DailySeries(draw.hourly, EXPERT.funnel_spec, EXPERT.level)
    assert set(compute_labels(blind, draw.dates)) > set(draw.labels)


def test_the_calendar_is_public_told_by_the_policy_and_empty_on_other_levels() -> None:
    session = EpisodeSession()
    opening = session.reset(difficulty="expert", anomaly_count=3, scenario_family="mixed")
    assert "list_calendar" in opening.observation_fields["instruction"]
    assert opening.observation_fields["config"]["policy_version"] == "1+calendar"
    listed = session.step({"analysis_method": "list_calendar"}).observation_fields[
        "analysis_result"
    ]["result"]
    assert len(listed["events"]) == 5
    assert set(listed["events"][0]) == {"date", "kind", "title", "explains"}
    plain = session.reset(task_id="hard_mixed_multi")
    assert "list_calendar" not in plain.observation_fields["instruction"]
    assert plain.observation_fields["config"]["policy_version"] == "1"
    listed = session.step({"analysis_method": "list_calendar"}).observation_fields[
        "analysis_result"
    ]["result"]
    assert listed == {"events": []}


@pytest.mark.slow
def test_the_card_is_written_from_results_of_these_versions_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "TRAINING_EPISODES", 12)
    monkeypatch.setattr(second_play, "EPISODES_PER_LEVEL", 2)
    audit, proofs, page = (tmp_path / name for name in ("a.json", "c.jsonl", "card.md"))
    where = ("--setting", "mixed", "--setting", "funnel_break", "--setting", "split:test")
    options = ("--episodes", "2", "--workers", "1", "--difficulty", "easy", *where)
    assert run("audit", *options, "--out", str(audit)).exit_code in (0, 1)  # two are few
    certify = ("certify", "--seeds", "1", "--difficulty", "easy", "--workers", "1")
    assert run(*certify, "--out", str(proofs)).exit_code == 0
    card = ("--audit", str(audit), "--certificates", str(proofs), "--out", str(page))
    assert CliRunner().invoke(card_app, card).exit_code == 0
    text = page.read_text()
    assert re.search(r"\| reference \| 1\.000", text)
    assert re.search(r"\| funnel_break \| 0\.000 \[0\.20\] \|", text)  # without a call
    assert re.search(r"\| `issues` \| easy \| 0\.\d+ \| 1\.000 \| 2\.0 \|", text)
    plots = sorted((tmp_path / "assets").glob("*.png"))
    assert len(plots) == 3
    assert all(plot.read_bytes()[:4] == b"\x89PNG" for plot in plots)
    audit.write_text(audit.read_text().replace(f'"grader": "{GRADER_VERSION}"', '"grader": "0"'))
    assert CliRunner().invoke(card_app, card).exit_code == 2


def test_every_cause_and_certificate_survives_being_written_down() -> None:
    found = certify_one(EXPERT)
    again = certificate.certificate_from_dict(json.loads(json.dumps(found.as_dict())))
    assert isinstance(again, FunnelCertificate)
    assert (again.rows, again.config.identity) == (found.rows, found.config.identity)
    assert all(
        isinstance(cause, PlannedAnomaly) for cause in generate_episode(EXPERT).planned_anomalies
    )
