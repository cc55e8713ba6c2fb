"""`python -m research.measure_signal`: measures how often the rewards of a group differ.

Each of four players plays groups of eight rollouts on tasks of every level. The tokens of a rollout
are those of the reference policy on the same task, because the players read the same replies.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from drilldown_env.levels import STAGES as DRILL
from firewatch_env.tasks.levels import STAGES as FIREWATCH
from metric_tracker_rl.engine.definitions.rungs import CURRICULUM_RESETS as FUNNEL
from openenv_kit.cli.common import WorkersOption, require_installed
from openenv_kit.environment import get_environment
from openenv_kit.results.scored_episodes import PlayerResults, ScoredEpisode
from openenv_kit.results.signal import (
    ROLLOUTS_PER_GROUP,
    LevelSignal,
    measure_signal_by_level_and_mode,
)
from openenv_kit.rollouts.curriculum import RUNG_LEVEL_NAMES
from openenv_kit.splits import derive_seed_from_text, find_task_indices_of_level
from research.benchmark_report.tables import markdown_table
from research.graded_players import GRADED_PLAYERS, build_player, measure_rewards
from research.tokens import count_tokens
from research.transcript import build_transcript

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

SPLIT = "validation"
LEVELS: Mapping[str, tuple[str, ...]] = {
    "metric_tracker_rl": ("easy", "medium", "hard", "expert"),
    "drilldown": ("drill_easy", "drill", "drill_hard", "drill_sql"),
    "firewatch": ("easy", "medium", "hard"),
}
MEASURED_MODES: Mapping[str, tuple[Mapping[str, str], ...]] = {
    "metric_tracker_rl": ({"profile": "standard"}, {"profile": "lean"})
}
"""Modes of play that are measured, for environments with more than one."""
RUNG_RESETS: Mapping[str, Sequence[Mapping[str, str]]] = {
    "metric_tracker_rl": [{**each, "profile": "lean"} for each in FUNNEL],
    "drilldown": DRILL,
    "firewatch": FIREWATCH,
}
"""The rungs of each environment, from difficulty 0 to 1."""
WEAKEST, HALF_RIGHT = GRADED_PLAYERS[0].name, GRADED_PLAYERS[2].name
"""Players of the rung table. The signal of the second one is also given per 1,000 tokens."""
BEGIN_MARK, END_MARK = "<!-- python -m research.measure_signal -->", "<!-- end -->"


class SignalCase(NamedTuple):
    """An environment, and resets of one level in one mode."""

    environment_name: str
    resets: Sequence[Mapping[str, Any]]


class _PlayerAndReward(NamedTuple):
    player: str
    reward: str


def iter_level_cases(tasks: int) -> Iterator[SignalCase]:
    """Yield a case for every environment, level and mode."""
    for name, levels in LEVELS.items():
        splits: Any = get_environment(name).splits
        for level in levels:
            indices = find_task_indices_of_level(splits, SPLIT, level)[:tasks]
            for mode in MEASURED_MODES.get(name, ({},)):
                resets = [{"split": SPLIT, "index": index, **mode} for index in indices]
                yield SignalCase(name, resets)


def iter_rung_cases(tasks: int) -> Iterator[SignalCase]:
    """Yield a case for every rung of every environment."""
    for name, stages in RUNG_RESETS.items():
        for stage in stages:
            texts = [f"{name}|signal|{stage['difficulty']}|{number}" for number in range(tasks)]
            resets = [{**stage, "seed": derive_seed_from_text(text)} for text in texts]
            yield SignalCase(name, resets)


def measure_case(case: SignalCase, *, with_tokens: bool = True) -> list[LevelSignal]:
    """Play the groups of a case. Return a line for each player and reward."""
    environment = get_environment(case.environment_name)
    rollouts: defaultdict[_PlayerAndReward, list[ScoredEpisode]] = defaultdict(list)
    for reset in case.resets:
        tokens = None
        if with_tokens:
            reference = environment.policies["reference"]
            tokens = count_tokens(build_transcript(environment, reference, reset))
        for strength in GRADED_PLAYERS:
            for number in range(ROLLOUTS_PER_GROUP):
                player = build_player(environment, reset, strength, str(number))
                for reward, value in measure_rewards(environment, player, reset).items():
                    rollouts[_PlayerAndReward(strength.name, reward)].append(
                        ScoredEpisode("", {**reset, "reward": reward}, value, 0, tokens=tokens)
                    )
    players = [
        PlayerResults(key.player, "", environment.versions, player_rollouts)
        for key, player_rollouts in rollouts.items()
    ]
    return list(measure_signal_by_level_and_mode(players, environment))


def signal_tables(lines_by_environment: Mapping[str, list[LevelSignal]]) -> str:
    """Return a Markdown table per environment: a row per level and mode, a column per player."""
    titles = ["level", *(strength.name for strength in GRADED_PLAYERS), "per 1,000 tokens"]
    parts = []
    for name, lines in lines_by_environment.items():
        lines_by_row: dict[str, dict[str, list[LevelSignal]]] = {}
        for line in lines:
            row_title = ", ".join(filter(None, (line.level, line.mode.get("profile"))))
            lines_by_player = lines_by_row.setdefault(row_title, {})
            lines_by_player.setdefault(line.player, []).append(line)
        rows = []
        for row_title, lines_by_player in lines_by_row.items():
            signals = [
                "/".join(f"{line.signal:.2f}" for line in lines_by_player[strength.name])
                for strength in GRADED_PLAYERS
            ]
            signal_rate = lines_by_player[HALF_RIGHT][0].groups_with_signal_per_1000_tokens or 0.0
            rows.append([row_title, *signals, f"{signal_rate:.4f}"])
        rewards = "/".join(dict.fromkeys(line.mode["reward"] for line in lines))
        title = f"**{get_environment(name).title}** ({rewards})"
        parts.append(f"{title}\n\n{markdown_table(titles, rows)}")
    return "\n\n".join(parts)


def rung_table(lines_by_environment: Mapping[str, list[LevelSignal]]) -> str:
    """Return a table of rungs, with the graded signal of the weakest and the half-right player."""
    titles = [get_environment(name).title for name in lines_by_environment]
    rows = []
    for rung in RUNG_LEVEL_NAMES:
        row = [rung]
        for lines in lines_by_environment.values():
            signal_by_player = {
                line.player: line.signal
                for line in lines
                if line.level == rung and line.mode["reward"] == "graded"
            }
            has_rung = bool(signal_by_player)
            row.append(
                f"{signal_by_player[WEAKEST]:.2f}/{signal_by_player[HALF_RIGHT]:.2f}"
                if has_rung
                else ""
            )
        rows.append(row)
    return markdown_table(["level", *titles], rows)


@app.command()
def measure_signal(
    tasks: Annotated[int, typer.Option(min=2, help="Tasks of each level.")] = 48,
    write: Annotated[
        Path | None, typer.Option(help="Replace the table of this page. Default: print it.")
    ] = None,
    workers: WorkersOption = 1,
) -> None:
    """Measure the signal of players of four strengths in every environment."""
    require_installed("bpe_openai", needed_for="counting tokens")
    by_level = _measure_cases(list(iter_level_cases(tasks)), workers, with_tokens=True)
    by_rung = _measure_cases(list(iter_rung_cases(tasks)), workers, with_tokens=False)
    rung_title = (
        "**Numbered levels**, graded (random legal/half right; targets: 0.40 on rung_1, 0.60)"
    )
    tables = f"{signal_tables(by_level)}\n\n{rung_title}\n\n{rung_table(by_rung)}"
    if write is None:
        typer.echo(tables)
        return
    head, _, rest = write.read_text(encoding="utf-8").partition(BEGIN_MARK)
    _, end, tail = rest.partition(END_MARK)
    if not end:
        raise typer.BadParameter(f"{write} needs the lines {BEGIN_MARK!r} and {END_MARK!r}")
    write.write_text(f"{head}{BEGIN_MARK}\n\n{tables}\n\n{END_MARK}{tail}", encoding="utf-8")


def _measure_cases(
    cases: Sequence[SignalCase], workers: int, *, with_tokens: bool
) -> dict[str, list[LevelSignal]]:
    """Return the lines of all cases by environment."""
    lines_by_environment: defaultdict[str, list[LevelSignal]] = defaultdict(list)
    with ProcessPoolExecutor(workers or None) as pool:
        results = pool.map(partial(measure_case, with_tokens=with_tokens), cases)
        for case, lines in zip(cases, results, strict=True):
            lines_by_environment[case.environment_name].extend(lines)
    return dict(lines_by_environment)


if __name__ == "__main__":
    app()
