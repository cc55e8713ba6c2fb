"""The benchmark report's part about modes of play: tokens, rungs and exploits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import multimode
from typing import Any, NamedTuple

import pandas as pd

from metric_tracker_rl.audit import MODE_SETTINGS
from metric_tracker_rl.engine.definitions.levels import LEVELS
from metric_tracker_rl.engine.definitions.rungs import DEFAULT_ANOMALY_COUNTS, DIFFICULTY_BY_LEVEL
from openenv_kit.rewards import Reward
from research.benchmark_report.tables import level_table, markdown_table

ResultLine = dict[str, Any]

TEMPLATE = Path(__file__).with_name("modes.md")


def format_modes_part(
    token_results: Mapping[str, Any],
    rung_results: Mapping[str, Any],
    audit_lines: Sequence[ResultLine],
    certificates: str,
    policy_count: int,
) -> str:
    """Return the text of the report's part on modes.

    Args:
        token_results: results of `research.measure_tokens`.
        rung_results: results of `research.measure_levels`.
        audit_lines: the audit's lines for the settings that are modes.
        certificates: table of the certificates of varied policies.
        policy_count: number of these policies that differ in more than their wording.
    """
    lines = _lines_with_most_episodes(audit_lines)
    default_episodes = multimode(line["episodes"] for line in lines)[0]
    tokens = pd.DataFrame(token_results["tokens"]).rename(columns={"level": "difficulty"})
    tokens["mode"] = tokens["profile"] + ", " + tokens["disclosure"]
    return TEMPLATE.read_text(encoding="utf-8").format(
        episodes=token_results["episodes"],
        encoding=token_results["encoding"],
        tokens=level_table(tokens, "mode", None, "{mean:,} / {most:,}", LEVELS),
        usual=markdown_table(
            ["level", "mean score", "perfect"], _default_policy_cells(token_results["usual"])
        ),
        rungs=_rungs_table(rung_results["rungs"]),
        rung_episodes=rung_results["episodes"],
        certificates=certificates,
        policies=policy_count,
        exploits=_exploits_table(lines, default_episodes),
        lines=len(lines),
        over=sum(not line["holds"] for line in lines),
        played=default_episodes,
    )


class _LineKey(NamedTuple):
    setting: str
    level: str
    policy: str


def _lines_with_most_episodes(lines: Sequence[ResultLine]) -> list[ResultLine]:
    """Return one line for each setting, level and policy: the one with the most episodes."""
    line_by_key: dict[_LineKey, ResultLine] = {}
    for line in lines:
        key = _LineKey(line["setting"], line["difficulty"], line["policy"])
        if key not in line_by_key or line["episodes"] > line_by_key[key]["episodes"]:
            line_by_key[key] = line
    return list(line_by_key.values())


def _rungs_table(lines: Sequence[ResultLine]) -> str:
    """Return a table with a row for each rung and a column for each share of random decisions."""
    shares = list(dict.fromkeys(line["share"] for line in lines))
    rows: dict[str, list[str]] = {}
    for line in lines:
        rung = line["rung"]
        if rung not in rows:
            anomaly_count = DEFAULT_ANOMALY_COUNTS[rung]
            rows[rung] = [f"`{rung}`", f"{DIFFICULTY_BY_LEVEL[rung]:.2f}", str(anomaly_count)]
        rows[rung].append(f"{line[Reward.GRADED]:.3f}")
    titles = ["rung", "difficulty", "anomalies", *(f"{share:.0%}" for share in shares)]
    return markdown_table(titles, rows.values())


def _default_policy_cells(lines: Sequence[ResultLine]) -> list[list[str]]:
    return [[line["level"], f"{line['mean']:.3f}", f"{line['perfect']:.1%}"] for line in lines]


def _exploits_table(lines: Sequence[ResultLine], default_episodes: int) -> str:
    """Return a table of the exploits that come closest to their ceiling in each mode and level.

    Exploits with a noisy score, which are checked by their interval, are left out.

    Args:
        lines: lines of the audit.
        default_episodes: number of episodes that the cells do not state.
    """
    closest: dict[_Setting, ResultLine] = {}
    for line in lines:
        key = _Setting(line["setting"], line["difficulty"])
        has_ceiling = line["max_mean"] and not line["by_interval"]
        if has_ceiling and _share_of_ceiling(line) >= _share_of_ceiling(closest.get(key)):
            closest[key] = line

    def format_cell(line: ResultLine) -> str:
        cell = f"`{line['policy']}` {line['mean']:.3f} [{line['max_mean']:.2f}]"
        if line["episodes"] != default_episodes:
            cell += f", n = {line['episodes']:,}"
        return cell

    levels = [level for level in LEVELS if any(key.level == level for key in closest)]
    modes = [mode for mode in MODE_SETTINGS if any(key.mode == mode for key in closest)]
    rows = (
        [mode, *(format_cell(closest[_Setting(mode, level)]) for level in levels)] for mode in modes
    )
    return markdown_table(["setting", *levels], rows)


class _Setting(NamedTuple):
    mode: str
    level: str


def _share_of_ceiling(line: ResultLine | None) -> float:
    return line["mean"] / line["max_mean"] if line else 0.0
