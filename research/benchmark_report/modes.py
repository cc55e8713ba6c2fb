"""The benchmark card's part about modes of play: tokens and exploits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import multimode
from typing import Any

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
        policy_count: how many of these policies differ in more than words.
    """
    lines = _lines_of_most_episodes(audit_lines)
    played = multimode(line["episodes"] for line in lines)[0]
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
        exploits=_exploits_table(lines, played),
        lines=len(lines),
        over=sum(not line["holds"] for line in lines),
        played=played,
    )


def _lines_of_most_episodes(lines: Sequence[ResultLine]) -> list[ResultLine]:
    """Of lines about the same, the one of most episodes."""
    found: dict[tuple[str, str, str], ResultLine] = {}
    for line in lines:
        key = line["setting"], line["difficulty"], line["policy"]
        if key not in found or line["episodes"] > found[key]["episodes"]:
            found[key] = line
    return list(found.values())


def _rungs_table(lines: Sequence[ResultLine]) -> str:
    """A row for each rung, a column for each strength."""
    shares = list(dict.fromkeys(line["share"] for line in lines))
    found: dict[str, list[str]] = {}
    for line in lines:
        rung = line["rung"]
        cells = [f"`{rung}`", f"{DIFFICULTY_BY_LEVEL[rung]:.2f}", str(DEFAULT_ANOMALY_COUNTS[rung])]
        found.setdefault(rung, cells).append(f"{line[Reward.GRADED]:.3f}")
    head = ["rung", "difficulty", "anomalies", *(f"{share:.0%}" for share in shares)]
    return markdown_table(head, found.values())


def _default_policy_cells(lines: Sequence[ResultLine]) -> list[list[str]]:
    """A row for each level."""
    return [[each["level"], f"{each['mean']:.3f}", f"{each['perfect']:.1%}"] for each in lines]


def _exploits_table(lines: Sequence[ResultLine], default_episodes: int) -> str:
    """For each mode and level, the exploit that comes nearest to its ceiling; not noise.

    Args:
        lines: lines of the audit.
        default_episodes: the usual number of episodes, which the table does not state.
    """
    nearest: dict[tuple[str, str], ResultLine] = {}
    for line in lines:
        key = line["setting"], line["difficulty"]
        held = line["max_mean"] and not line["by_interval"]
        if held and _share_of_ceiling(line) >= _share_of_ceiling(nearest.get(key)):
            nearest[key] = line

    def cell(line: ResultLine) -> str:
        more = "" if line["episodes"] == default_episodes else f", n = {line['episodes']:,}"
        return "`{policy}` {mean:.3f} [{max_mean:.2f}]{more}".format(more=more, **line)

    levels = [level for level in LEVELS if any(key[1] == level for key in nearest)]
    found = [mode for mode in MODE_SETTINGS if any(key[0] == mode for key in nearest)]
    rows = ([mode, *(cell(nearest[mode, level]) for level in levels)] for mode in found)
    return markdown_table(["setting", *levels], rows)


def _share_of_ceiling(line: ResultLine | None) -> float:
    return line["mean"] / line["max_mean"] if line else 0.0
