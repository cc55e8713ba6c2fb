"""`python -m research.measure_tokens`: tokens of each mode, and policies not read."""

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
from metric_tracker_rl.engine.configuration.episode_config import MIXED, EpisodeConfig
from metric_tracker_rl.engine.configuration.splits import SPLITS
from metric_tracker_rl.engine.definitions.funnel import ORDERING_APP
from metric_tracker_rl.engine.definitions.levels import LEVELS
from metric_tracker_rl.engine.definitions.names import DISCLOSURES, PROFILES, PolicySource
from metric_tracker_rl.engine.episode.episode import build_episode
from metric_tracker_rl.engine.grading.grader import grade_report
from metric_tracker_rl.engine.report.parse_report import SubmittedReport
from metric_tracker_rl.engine.reporting_policy.daily_series import DailySeries
from metric_tracker_rl.engine.reporting_policy.labels import compute_labels
from metric_tracker_rl.environment import ENVIRONMENT
from openenv_kit.cli.common import build_table, require_installed
from openenv_kit.splits import indices_of_level
from research.tokens import ENCODING, count_tokens
from research.transcript import build_transcript

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

SPLIT = "validation"

ResultLine = dict[str, Any]


@app.command()
def measure_mode_tokens(
    episodes: Annotated[int, typer.Option(min=1, help="Episodes of each level.")] = 60,
    out: Annotated[Path | None, typer.Option(help="Write the results as JSON.")] = None,
) -> None:
    """Measure what modes cost in tokens, and ask to be read."""
    require_installed("bpe_openai", needed_for="counting tokens")
    cases = product(PROFILES, DISCLOSURES, LEVELS)
    tokens = [
        measure_reference_tokens(profile, disclosure, level, episodes)
        for profile, disclosure, level in cases
    ]
    found: dict[str, Any] = {
        "versions": dict(ENVIRONMENT.versions),
        "episodes": episodes,
        "encoding": ENCODING,
        "tokens": tokens,
        "usual": [measure_default_policy(level, episodes) for level in LEVELS],
    }
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    console = Console(width=110)
    cell = "{profile}|{disclosure}|{level}|{mean:,}|{most:,}"
    cells = (cell.format(**each).split("|") for each in tokens)
    columns: tuple[str, ...] = ("profile", "disclosure", "level", "mean", "most")
    console.print(build_table("Tokens", columns, cells, text_column_count=3))
    cells = (
        "{level}|{mean:.3f}|{perfect:.1%}".format(**each).split("|") for each in found["usual"]
    )
    title = "The usual policy, where another one is drawn"
    console.print(build_table(title, ("level", "mean", "perfect"), cells))


def measure_reference_tokens(
    profile: str, disclosure: str, level: str, episodes: int
) -> ResultLine:
    """Mean and largest number of tokens of the reference's episodes."""
    reference = ENVIRONMENT.policies["reference"]
    mode = {"profile": profile, "disclosure": disclosure}
    counts = [
        count_tokens(build_transcript(ENVIRONMENT, reference, {**reset, **mode}))
        for reset in _resets_of_level(level, episodes)
    ]
    return {**mode, "level": level, "mean": round(fmean(counts)), "most": max(counts)}


def measure_default_policy(level: str, episodes: int) -> ResultLine:
    """Scores of the right report under the level's own policy, where another one is drawn.

    So much earns who keeps to the policy that it knows, and reads none. Episodes with nothing to
    find are left out.
    """
    usual, scores = LEVELS[level], []
    for number in range(episodes):
        count = ANOMALY_COUNTS[number % len(ANOMALY_COUNTS)]
        episode = build_episode(
            EpisodeConfig(number, MIXED, level, "low", count, policy=PolicySource.VARIED)
        )
        series = episode.series
        known = DailySeries(episode.generated.hourly, ORDERING_APP, usual, series.explained)
        report = SubmittedReport(compute_labels(known, episode.dates), ())
        scores.append(grade_report(report, episode.expected_rows).score)
    perfect = fmean(score == 1.0 for score in scores)
    return {"level": level, "mean": fmean(scores), "perfect": perfect}


def _resets_of_level(level: str, episodes: int) -> Sequence[ResultLine]:
    numbers = indices_of_level(SPLITS, SPLIT, level)[:episodes]
    return [{"split": SPLIT, "index": number, "max_steps": 128} for number in numbers]


if __name__ == "__main__":
    app()
