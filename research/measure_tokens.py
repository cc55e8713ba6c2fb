"""`python -m research.measure_tokens`: measures tokens of each mode, and unread policies."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any

import typer
from rich.console import Console

from metric_tracker_rl.audit import ANOMALY_COUNTS
from metric_tracker_rl.engine.configuration.episode_config import (
    EpisodeConfig,
)
from metric_tracker_rl.engine.configuration.splits import SPLITS
from metric_tracker_rl.engine.definitions.anomaly_types import MIXED
from metric_tracker_rl.engine.definitions.funnel import ORDERING_APP
from metric_tracker_rl.engine.definitions.levels import LEVELS
from metric_tracker_rl.engine.definitions.names import DISCLOSURES, PROFILES, PolicySource
from metric_tracker_rl.engine.episode.episode import build_episode
from metric_tracker_rl.engine.grading.grader import grade_report
from metric_tracker_rl.engine.report.parse_report import SubmittedReport
from metric_tracker_rl.engine.reporting_policy.daily_series import DailySeries
from metric_tracker_rl.engine.reporting_policy.labels import compute_expected_rows
from metric_tracker_rl.environment import ENVIRONMENT
from openenv_kit.cli.common import Column, build_item_table, require_installed
from openenv_kit.splits import find_task_indices_of_level
from research.tokens import ENCODING, count_tokens
from research.transcript import build_transcript

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

SPLIT = "validation"

ResultLine = dict[str, Any]


@app.command()
def measure_mode_tokens(
    episodes: Annotated[int, typer.Option(min=1, help="Episodes of each level.")] = 60,
    out: Annotated[Path | None, typer.Option(help="Write the results to this JSON file.")] = None,
) -> None:
    """Print tokens of each mode, and scores of reports that ignore the drawn policy."""
    require_installed("bpe_openai", needed_for="counting tokens")
    cases = product(PROFILES, DISCLOSURES, LEVELS)
    tokens = [
        measure_reference_tokens(profile, disclosure, level, episodes)
        for profile, disclosure, level in cases
    ]
    document: dict[str, Any] = {
        "versions": dict(ENVIRONMENT.versions),
        "episodes": episodes,
        "encoding": ENCODING,
        "tokens": tokens,
        "usual": [measure_default_policy(level, episodes) for level in LEVELS],
    }
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    console = Console(width=110)
    console.print(
        build_item_table(
            "Tokens",
            [
                Column[ResultLine]("profile", lambda line: line["profile"], is_text=True),
                Column[ResultLine]("disclosure", lambda line: line["disclosure"], is_text=True),
                Column[ResultLine]("level", lambda line: line["level"], is_text=True),
                Column[ResultLine]("mean", lambda line: f"{line['mean']:,}"),
                Column[ResultLine]("most", lambda line: f"{line['most']:,}"),
            ],
            tokens,
        )
    )
    console.print(
        build_item_table(
            "Report by the default policy, scored by a drawn policy",
            [
                Column[ResultLine]("level", lambda line: line["level"], is_text=True),
                Column[ResultLine]("mean", lambda line: f"{line['mean']:.3f}"),
                Column[ResultLine]("perfect", lambda line: f"{line['perfect']:.1%}"),
            ],
            document["usual"],
        )
    )


def measure_reference_tokens(
    profile: str, disclosure: str, level: str, episodes: int
) -> ResultLine:
    """Return the mean and the largest number of tokens of the reference policy's episodes."""
    reference = ENVIRONMENT.policies["reference"]
    mode = {"profile": profile, "disclosure": disclosure}
    counts = [
        count_tokens(build_transcript(ENVIRONMENT, reference, {**reset, **mode}))
        for reset in _resets_of_level(level, episodes)
    ]
    return {**mode, "level": level, "mean": round(fmean(counts)), "most": max(counts)}


def measure_default_policy(level: str, episodes: int) -> ResultLine:
    """Return the scores of reports that are correct under the level's default policy.

    The episodes have a drawn policy, so this is the score of a player that does not read it. All
    episodes have an anomaly.
    """
    default_level, scores = LEVELS[level], []
    for number in range(episodes):
        count = ANOMALY_COUNTS[number % len(ANOMALY_COUNTS)]
        episode = build_episode(
            EpisodeConfig(number, MIXED, level, "low", count, policy=PolicySource.VARIED)
        )
        series = episode.series
        default_series = DailySeries(
            episode.generated.hourly, ORDERING_APP, default_level, series.explained
        )
        report = SubmittedReport(compute_expected_rows(default_series, episode.dates), ())
        scores.append(grade_report(report, episode.expected_rows).score)
    perfect = fmean(score == 1.0 for score in scores)
    return {"level": level, "mean": fmean(scores), "perfect": perfect}


def _resets_of_level(level: str, episodes: int) -> Sequence[ResultLine]:
    numbers = find_task_indices_of_level(SPLITS, SPLIT, level)[:episodes]
    return [{"split": SPLIT, "index": number, "max_steps": 128} for number in numbers]


if __name__ == "__main__":
    app()
