"""The benchmark card's part about drill-down."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from metric_tracker_rl.commands.card import DRILL
from metric_tracker_rl.drilldown.audit import ROOTS, DrillAudit
from metric_tracker_rl.drilldown.certificate import Certificate
from metric_tracker_rl.drilldown.config import DrillConfig
from metric_tracker_rl.drilldown.levels import LEVELS
from metric_tracker_rl.drilldown.versions import VERSIONS
from metric_tracker_rl.environment import ENVIRONMENT
from openenv_kit.cli import app
from openenv_kit.trust.audit import Line

BY_HAND = [
    {
        "level": "drill",
        "when": "in a test",
        "plays": 8,
        "exact": 5,
        "mean": 0.71,
        "aim": "at most 0.6",
    }
]


def audited() -> list[dict[str, Any]]:
    """A line for each policy and level, all different."""
    names = DrillAudit(ENVIRONMENT).names
    lines = []
    for place, level in enumerate(LEVELS):
        for number, name in enumerate(names):
            mean = (100 * place + number) / 1000
            limits = (0.4, 0.1) if name == "best_combination" else (1.0, 1.0)
            line = Line(name, level, 24, mean, 0, 1, 0.25, 0, 0, *limits, setting=ROOTS)
            lines.append(line.as_dict())
    return lines


def certificates() -> list[dict[str, Any]]:
    found = [
        Certificate(
            *(DrillConfig(seed, "drill", "saas_trial", 2), 1.0, 60, 5_000, 1, 2, 1, True, 2, 2),
            *(True, (), ()),
        )
        for seed in (1, 2)
    ]
    return [each.as_dict() for each in found]


@pytest.fixture
def card(tmp_path: Path) -> Any:
    """Write the card from results under some versions; the page is `card.md`."""

    def write(
        measured: Mapping[str, str] = VERSIONS,
        proven: Mapping[str, str] = VERSIONS,
        lines: Sequence[Mapping[str, Any]] = (),
    ) -> Any:
        found = {"members": ["log_moved", "largest_z"], "votes": 2, "one_a_run": True}
        combinations = {"drill": found}
        results = {"versions": measured, "lines": lines or audited(), "combinations": combinations}
        (tmp_path / "audit.json").write_text(json.dumps(results, default=dict))
        told = [json.dumps({**each, "versions": dict(proven)}) for each in certificates()]
        (tmp_path / "proofs.jsonl").write_text("\n".join(told))
        (tmp_path / "by-hand.json").write_text(json.dumps(BY_HAND))
        files = {"audit": "audit.json", "certificates": "proofs.jsonl", "by-hand": "by-hand.json"}
        options = [part for k, name in files.items() for part in (f"--{k}", str(tmp_path / name))]
        return CliRunner().invoke(app, ["card", *options, "--out", str(tmp_path / "card.md")])

    return write


def test_the_part_of_drill_down_is_written_and_the_other_is_left_alone(
    card: Any, tmp_path: Path
) -> None:
    page = tmp_path / "card.md"
    page.write_text(f"# Card\n\nThe funnel.\n\n{DRILL}\n\nof yesterday\n")
    done = card()
    assert done.exit_code == 0, done.output
    text = page.read_text()
    first, _, second = text.partition(DRILL)
    assert first == "# Card\n\nThe funnel.\n\n"
    assert "of yesterday" not in second
    assert (
        "2 of 2 certificates hold; products × numbers of causes × seeds: `drill` 1 × 1 × 2."
        in second
    )
    assert "| drill | saas_trial | 2 | 2 | 2 | 4/4 | 2 | 2 | 1.00 |" in second
    assert "24 of `drill_easy`, 24 of `drill`" in second
    assert "| reference | 0.000 / 25% | 0.100 / 25% |" in second
    assert "[0.40 / 10%]" in second.partition("| best_combination |")[2].partition("\n")[0]
    assert "- `drill`: `log_moved`, `largest_z`; rows that 2 of them report, one a run" in second
    assert second.index("| without_tracking |") > second.index("What each insight is worth")
    assert "| `drill` | in a test | 5 of 8 | 0.71 | at most 0.6 |" in second
    assert card().exit_code == 0
    assert page.read_text() == text


def test_results_of_other_versions_or_of_half_a_tier_are_refused(card: Any) -> None:
    other = {**VERSIONS, "generator": "0"}
    for measured, proven in ((other, VERSIONS), (VERSIONS, other)):
        refused = card(measured, proven)
        assert refused.exit_code == 2
        assert "measure again" in " ".join(refused.output.split())
    half = card(VERSIONS, ENVIRONMENT.versions)
    assert half.exit_code == 2
    assert "results of both" in " ".join(half.output.split())
