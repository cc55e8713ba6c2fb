"""The benchmark's card is written from results."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from metric_tracker_rl import audit as plan
from metric_tracker_rl.engine.definitions.levels import LEVELS
from metric_tracker_rl.engine.definitions.rungs import CURRICULUM_RESETS
from metric_tracker_rl.engine.definitions.versions import GRADER_VERSION
from research import measure_levels, measure_tokens
from research.benchmark_report import second_play
from research.benchmark_report.__main__ import app as card_app
from support.command_line import run_cli


@pytest.mark.slow
def test_benchmark_card_is_written_only_from_results_of_these_versions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "TRAINING_EPISODES", 12)
    monkeypatch.setattr(second_play, "EPISODES_PER_LEVEL", 2)
    audit, proofs, page = (tmp_path / name for name in ("a.json", "c.jsonl", "card.md"))
    where = ("--setting", "mixed", "--setting", "funnel_break", "--setting", "split:test")
    options = ("--episodes", "2", "--workers", "1", "--difficulty", "easy", *where)
    assert run_cli("audit", *options, "--out", str(audit)).exit_code in (0, 1)  # two are few
    assert audit.exists()
    certify = ("certify", "--seeds", "1", "--difficulty", "easy", "--workers", "1")
    assert run_cli(*certify, "--out", str(proofs)).exit_code == 0
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


@pytest.mark.slow
def test_benchmark_card_of_modes_is_written_from_command_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measure_tokens, "LEVELS", {"easy": LEVELS["easy"]})
    monkeypatch.setattr(plan, "TRAINING_EPISODES", 12)
    monkeypatch.setattr(measure_levels, "CURRICULUM_RESETS", CURRICULUM_RESETS[:1])
    names = ("m.json", "r.json", "c.jsonl", "a.json", "b.json", "card.md")
    measured, ladder, proven, audited, again, page = (tmp_path / name for name in names)

    def run(*arguments: str) -> Any:
        own = {"modes": measure_tokens.app, "rungs": measure_levels.app, "card": card_app}
        name, *rest = arguments
        return CliRunner().invoke(own[name], rest) if name in own else run_cli(*arguments)

    assert run("modes", "--episodes", "2", "--out", str(measured)).exit_code == 0
    settings = [part for name in plan.MODE_SETTINGS for part in ("--setting", name)]
    few = ("--policy", "reference", "--policy", "report_flagged", "--policy", "lean_everything")
    where = ("--episodes", "2", "--workers", "1", "--difficulty", "easy", "--out", str(audited))
    assert run("audit", *few, *settings, *where).exit_code == 0
    lines = json.loads(audited.read_text())
    [line] = [each for each in lines["lines"] if each["policy"] == "lean_everything"][:1]
    again.write_text(json.dumps({**lines, "lines": [{**line, "episodes": 2000, "mean": 0.123}]}))
    assert run("rungs", "--episodes", "2", "--out", str(ladder)).exit_code == 0
    varied = ("--reset", "policy=varied", "--seeds", "1", "--difficulty", "easy", "--workers", "1")
    assert run("certify", *varied, "--out", str(proven)).exit_code == 0
    page.write_text("# Card\n\nWhat comes before.\n")
    card = ("card", "--modes", str(measured), "--rungs", str(ladder), "--out", str(page))
    card += ("--certificates", str(proven))
    assert run(*card).exit_code == 2, "without the audit"
    card += ("--audit", str(audited), "--audit", str(again))
    assert run(*card).exit_code == 0
    text = page.read_text()
    assert text.startswith("# Card\n\nWhat comes before.\n\n<!-- modes of play -->")
    assert "| lean, guided | 1," in text
    assert "| mode:lean | `lean_everything` 0.123 [0.25], n = 2,000 |" in text
    assert "| `rung_1` | 0.00 | 2 | " in text
    assert "| easy | 25 | 100.0% | 100.0% | 0 | " in text
    assert (run(*card).exit_code, page.read_text()) == (0, text)
