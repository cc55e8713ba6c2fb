"""Certificates and audit of the tier by the commands that every tier has."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from metric_tracker_rl import certificates
from metric_tracker_rl.drilldown.audit import ROOTS, DrillAudit, scan_of
from metric_tracker_rl.drilldown.baselines import by_stage, median_of_weekday
from metric_tracker_rl.drilldown.building import build_episode
from metric_tracker_rl.drilldown.channel import STANDARD, Channel
from metric_tracker_rl.drilldown.config import DrillConfig
from metric_tracker_rl.drilldown.definition import people_of
from metric_tracker_rl.drilldown.policies.adversary import Combination
from metric_tracker_rl.drilldown.policies.heuristics import HEURISTICS
from metric_tracker_rl.drilldown.policies.insights import READERS
from metric_tracker_rl.drilldown.policies.scan import Scan
from metric_tracker_rl.drilldown.robust_channel import RobustChannel
from metric_tracker_rl.drilldown.versions import VERSIONS
from metric_tracker_rl.environment import ENVIRONMENT
from openenv_kit.cli import app
from openenv_kit.errors import InvalidValueError
from openenv_kit.trust.audit import Line, audit_of, run_job

RUN = CliRunner()


@pytest.mark.slow
def test_a_run_certifies_one_tier_and_a_file_remembers_its_versions(tmp_path: Path) -> None:
    [config, *_] = certificates.grid(range(7, 8), difficulties=["drill_easy"])
    assert isinstance(config, DrillConfig)
    made = certificates.certify_one(config)
    assert made.holds
    assert certificates.certificate_from(json.loads(json.dumps(made.as_dict()))) == made
    assert certificates.summary([made]).startswith("0 roots")
    with pytest.raises(InvalidValueError, match="levels of one tier"):
        certificates.grid(range(1), difficulties=["easy", "drill"])
    file = tmp_path / "made.jsonl"
    arguments = ["certify", "--seeds", "1", "--workers", "1", "--out", str(file)]
    assert RUN.invoke(app, [*arguments, "--difficulty", "easy"]).exit_code == 0
    assert json.loads(file.read_text().split("\n")[0])["versions"] == dict(ENVIRONMENT.versions)
    other = RUN.invoke(app, [*arguments, "--difficulty", "drill"])
    assert other.exit_code == 2
    assert "made under versions" in " ".join(other.output.split())
    assert dict(ENVIRONMENT.versions_for({"difficulty": "drill"})) == VERSIONS


def test_levels_that_take_long_are_certified_when_they_are_named() -> None:
    assert set(certificates.usual_levels) < set(certificates.levels)
    assert not any(name.startswith("drill") for name in certificates.usual_levels)


def test_a_cell_that_scatters_more_than_the_theory_says_is_taken_to_be_as_noisy() -> None:
    episode = build_episode(DrillConfig(3, "drill", "ordering_app", 0))
    stages = by_stage(episode.counts)
    people = people_of(episode.cube, stages)[2]
    arguments = (episode.cube, 2, stages, median_of_weekday(stages), people, STANDARD)
    plain, robust = Channel(*arguments), RobustChannel(*arguments)
    least, most = plain.spread(plain.weight), robust.spread(plain.weight)
    assert (most >= least).all()
    assert 0.01 < np.mean(most > least) < 0.9


def test_the_audit_of_the_tier_has_every_heuristic_with_its_ceiling() -> None:
    audit = audit_of(ENVIRONMENT, ["drill", "drill_hard"])
    assert isinstance(audit, DrillAudit)
    assert set(audit.names) == {"reference", *HEURISTICS, "best_combination"}
    assert len(HEURISTICS) == 19 + len(READERS)
    for name, heuristic in HEURISTICS.items():
        if name != "null":
            assert audit.player(name).ceiling.at("drill_hard") == heuristic.ceiling
            assert audit.player(name).ceiling.at("drill_sql") == heuristic.ceiling
            assert audit.player(name).ceiling.at("drill_easy") == heuristic.ceiling
    assert audit_of(ENVIRONMENT) is ENVIRONMENT.audit
    with pytest.raises(InvalidValueError, match="levels of one tier"):
        audit_of(ENVIRONMENT, ["easy", "drill"])


def test_audited_episodes_hold_a_root_and_lines_are_judged() -> None:
    audit = audit_of(ENVIRONMENT, ["drill_easy"])
    names = ["reference", "null", "moved_totals"]
    jobs = audit.jobs(2, names, ["drill_easy"])
    assert {job.setting for job in jobs} == {ROOTS}
    results = [run_job(job) for job in jobs]
    assert all(each.expected for _, played in results for each in played)
    lines = {line.policy: line for line in audit.lines(results)}
    assert (lines["reference"].mean, lines["null"].mean) == (1.0, 0.0)
    assert all(line.holds for line in lines.values())


def test_splits_are_audited_by_level() -> None:
    audit = audit_of(ENVIRONMENT, ["drill"])
    reset = audit.reset_arguments("drill", 3, setting="split:drill_test")
    assert reset["split"] == "drill_test"
    session = ENVIRONMENT.session()
    assert session.reset(**reset).content["config"]["difficulty"] == "drill"


def test_the_adversary_is_looked_for_only_where_it_played(monkeypatch: pytest.MonkeyPatch) -> None:
    audit = audit_of(ENVIRONMENT, ["drill"])
    monkeypatch.setattr("metric_tracker_rl.drilldown.audit.fitted", lambda _: Combination(("a",)))
    lines = [Line(name, "drill", 1, 0, 0, 0, 0, 0, 0, None, None) for name in ("null", "largest_z")]
    assert audit.more(lines, 1) == {"combinations": {}}
    played = [*lines, replace(lines[0], policy="best_combination", difficulty="drill_hard")]
    assert audit.more(played, 1)["combinations"]["drill_hard"]["members"] == ("a",)
    assert list(audit.more(played, 1)["combinations"]) == ["drill_hard"]


@pytest.mark.slow
def test_heuristics_share_what_they_are_given_and_leave_it_as_it_was() -> None:
    episode = build_episode(DrillConfig(84, "drill_hard", "video_streaming", 2))
    for name, heuristic in HEURISTICS.items():
        alone = heuristic.grade(Scan(episode)).score
        assert heuristic.grade(scan_of(episode)).score == alone, name


def test_an_audit_goes_through_a_few_episodes_with_all_its_players() -> None:
    jobs = audit_of(ENVIRONMENT, ["drill"]).jobs(20, ["null", "largest_z"], ["drill"])
    assert [(job.first, job.policy) for job in jobs] == [
        (first, name) for first in (0, 8, 16) for name in ("null", "largest_z")
    ]
