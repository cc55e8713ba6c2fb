"""The benchmark card's part about modes of play: tokens and exploits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import multimode
from typing import Any

import pandas as pd

from metric_tracker_rl.audit import MODES
from metric_tracker_rl.engine.definitions.levels import LEVELS
from metric_tracker_rl.engine.definitions.names import GRADED
from metric_tracker_rl.engine.definitions.rungs import DIFFICULTIES, USUAL_COUNTS
from research.benchmark_report.tables import pivot, table

Line = dict[str, Any]

TEMPLATE = Path(__file__).with_name("modes.md")


def section(
    measured: Mapping[str, Any],
    ladder: Mapping[str, Any],
    audited: Sequence[Line],
    certificates: str,
    policies: int,
) -> str:
    """The part's text.

    Args:
        measured: results of `research.measure_tokens`.
        ladder: results of `research.measure_levels`.
        audited: the audit's lines of the settings that are modes.
        certificates: table of the certificates of varied policies.
        policies: how many of these policies differ in more than words.
    """
    lines = _largest(audited)
    played = multimode(line["episodes"] for line in lines)[0]
    tokens = pd.DataFrame(measured["tokens"]).rename(columns={"level": "difficulty"})
    tokens["mode"] = tokens["profile"] + ", " + tokens["disclosure"]
    return TEMPLATE.read_text(encoding="utf-8").format(
        episodes=measured["episodes"],
        encoding=measured["encoding"],
        tokens=pivot(tokens, "mode", None, "{mean:,} / {most:,}", LEVELS),
        usual=table(["level", "mean score", "perfect"], _usual(measured["usual"])),
        rungs=_rungs(ladder["rungs"]),
        rung_episodes=ladder["episodes"],
        certificates=certificates,
        policies=policies,
        exploits=_exploits(lines, played),
        lines=len(lines),
        over=sum(not line["holds"] for line in lines),
        played=played,
    )


def _largest(lines: Sequence[Line]) -> list[Line]:
    """Of lines about the same, the one of most episodes."""
    found: dict[tuple[str, str, str], Line] = {}
    for line in lines:
        key = line["setting"], line["difficulty"], line["policy"]
        if key not in found or line["episodes"] > found[key]["episodes"]:
            found[key] = line
    return list(found.values())


def _rungs(lines: Sequence[Line]) -> str:
    """A row for each rung, a column for each strength."""
    shares = list(dict.fromkeys(line["share"] for line in lines))
    found: dict[str, list[str]] = {}
    for line in lines:
        rung = line["rung"]
        cells = [f"`{rung}`", f"{DIFFICULTIES[rung]:.2f}", str(USUAL_COUNTS[rung])]
        found.setdefault(rung, cells).append(f"{line[GRADED]:.3f}")
    head = ["rung", "difficulty", "anomalies", *(f"{share:.0%}" for share in shares)]
    return table(head, found.values())


def _usual(lines: Sequence[Line]) -> list[list[str]]:
    """A row for each level."""
    return [[each["level"], f"{each['mean']:.3f}", f"{each['perfect']:.1%}"] for each in lines]


def _exploits(lines: Sequence[Line], usual: int) -> str:
    """For each mode and level, the exploit that comes nearest to its ceiling; not noise.

    Args:
        lines: of the audit.
        usual: number of episodes that is not told in the table.
    """
    nearest: dict[tuple[str, str], Line] = {}
    for line in lines:
        key = line["setting"], line["difficulty"]
        held = line["max_mean"] and not line["by_interval"]
        if held and _share(line) >= _share(nearest.get(key)):
            nearest[key] = line

    def cell(line: Line) -> str:
        more = "" if line["episodes"] == usual else f", n = {line['episodes']:,}"
        return "`{policy}` {mean:.3f} [{max_mean:.2f}]{more}".format(more=more, **line)

    levels = [level for level in LEVELS if any(key[1] == level for key in nearest)]
    found = [mode for mode in MODES if any(key[0] == mode for key in nearest)]
    rows = ([mode, *(cell(nearest[mode, level]) for level in levels)] for mode in found)
    return table(["setting", *levels], rows)


def _share(line: Line | None) -> float:
    return line["mean"] / line["max_mean"] if line else 0.0
