"""The exploit audit of the funnel: ceilings hold, and a broken ceiling fails the command."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from metric_tracker_rl import audit as plan
from metric_tracker_rl.engine.session.episode_session import EpisodeSession
from metric_tracker_rl.environment import ENVIRONMENT
from metric_tracker_rl.exploits import EXPLOITS, get_exploit
from metric_tracker_rl.exploits.base import ZERO_CEILING
from metric_tracker_rl.exploits.lean import LEAN_EXPLOITS
from metric_tracker_rl.exploits.raw import RAW_EXPLOITS
from openenv_kit.trust.audit import AuditJob, AuditLine, run_job
from support.command_line import run_cli


@pytest.mark.slow
def test_small_audit_passes_and_lists_every_policy(tmp_path: Path) -> None:
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
    found = run_cli("audit", *policies, *options)
    assert found.exit_code == 0, found.output
    lines = json.loads(out.read_text())["lines"]
    assert [line["policy"] for line in lines] == names
    assert all(line["holds"] and line["calls"] >= 1 for line in lines)


@pytest.mark.slow
def test_the_audit_fails_above_a_ceiling(monkeypatch: pytest.MonkeyPatch) -> None:
    cheat = replace(get_exploit("threshold_sweep"), ceiling=ZERO_CEILING)
    monkeypatch.setitem(EXPLOITS, "threshold_sweep", cheat)
    options = ("--episodes", "6", "--workers", "1", "--difficulty", "easy", "--setting", "mixed")
    found = run_cli("audit", "--policy", "threshold_sweep", *options)
    assert found.exit_code == 1
    assert re.search(r"mixed .* easy .* threshold_sweep .* no ", found.output)
    assert "1 lines, 1 outside their limits." in found.output


def test_a_reference_below_one_is_outside_its_limits() -> None:
    line = AuditLine("reference", "easy", 4, 0.99, 0.9, 1.0, 0.9, 7, None, None, min_mean=1.0)
    assert not line.is_within_limits
    assert replace(line, mean=1.0).is_within_limits


def test_noisy_exploit_passes_by_luck_and_fails_with_information() -> None:
    lucky = AuditLine("message_timing", "easy", 200, 0.002, 0.0, 0.005, 0.0, 31, 0.0, 0.0)
    assert not lucky.is_within_limits
    assert replace(lucky, by_interval=True).is_within_limits
    assert not replace(
        lucky, by_interval=True, mean=0.1, ci_low=0.06, ci_high=0.14
    ).is_within_limits
    assert get_exploit("message_timing").ceiling.is_checked_by_ci_low
    assert max(get_exploit("message_timing").ceiling.max_mean.values()) < 0.002
    assert not get_exploit("message_size").ceiling.is_checked_by_ci_low


def test_audit_limit_of_noise_depends_on_the_reward() -> None:
    audit = ENVIRONMENT.audit
    assert audit is not None
    allowed = {
        setting: audit.build_audit_lines(
            [run_job(AuditJob("message_timing", "easy", 0, 1, setting))]
        )[0].max_mean
        for setting in ("mixed", "mode:exact", "mode:key_f1")
    }
    assert allowed == {"mixed": 0.0019, "mode:exact": 0.0019, "mode:key_f1": 0.0085}


def test_audit_setting_of_a_mode_resets_with_its_arguments() -> None:
    audit = ENVIRONMENT.audit
    assert isinstance(audit, plan.MetricTrackerAudit)
    for setting, arguments in plan.MODE_SETTINGS.items():
        reset = audit.build_reset_arguments("hard", 3, 5, setting)
        usual = audit.build_reset_arguments("hard", 3, 1 if "reward" in arguments else 5)
        assert reset == {**usual, **arguments}
        session = EpisodeSession()
        assert session.reset(**reset).status == "ready"
        assert session.view is not None
        for name, value in arguments.items():
            assert value in (
                getattr(session.view.rules, name, None),
                session.view.public_config.get(name),
            )
