"""`python -m research.measure_signal`: how often the rewards of a group of rollouts differ.

Each of four players plays groups of eight on tasks of every level. A play's tokens are those of the
reference's own play of the task: the players read what it reads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from drilldown_env.levels import STAGES as DRILL
from firewatch_env.tasks.levels import STAGES as FIREWATCH
from metric_tracker_rl.engine.definitions.rungs import CURRICULUM_RESETS as FUNNEL
from openenv_kit.cli.common import WorkersOption, require_installed
from openenv_kit.environment import get_environment
from openenv_kit.results.scored_episodes import PlayerResults, ScoredEpisode
from openenv_kit.results.signal import ROLLOUTS_PER_GROUP, LevelSignal, signal_by_level
from openenv_kit.rollouts.curriculum import RUNG_LEVEL_NAMES
from openenv_kit.splits import indices_of_level, seed_from_text
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
"""Modes of play that are measured, where there is more than one."""
RUNG_RESETS: Mapping[str, Sequence[Mapping[str, str]]] = {
    "metric_tracker_rl": [{**each, "profile": "lean"} for each in FUNNEL],
    "drilldown": DRILL,
    "firewatch": FIREWATCH,
}
"""The rungs of each environment, from difficulty 0 to 1."""
WEAKEST, HALF_RIGHT = GRADED_PLAYERS[0].name, GRADED_PLAYERS[2].name
"""The players that aims are about; the second one's signal is also told per 1,000 tokens."""
BEGIN_MARK, END_MARK = "<!-- python -m research.measure_signal -->", "<!-- end -->"

SignalCase = tuple[str, tuple[Mapping[str, Any], ...]]
"""An environment, and resets of one level in one mode."""


def iter_level_cases(tasks: int) -> Iterator[SignalCase]:
    """Every environment, level and mode."""
    for name, levels in LEVELS.items():
        splits: Any = get_environment(name).splits
        for level in levels:
            places = indices_of_level(splits, SPLIT, level)[:tasks]
            for mode in MEASURED_MODES.get(name, ({},)):
                yield name, tuple({"split": SPLIT, "index": each, **mode} for each in places)


def iter_rung_cases(tasks: int) -> Iterator[SignalCase]:
    """Every environment's rungs."""
    for name, stages in RUNG_RESETS.items():
        for stage in stages:
            texts = [f"{name}|signal|{stage['difficulty']}|{number}" for number in range(tasks)]
            yield name, tuple({**stage, "seed": seed_from_text(text)} for text in texts)


def measure_case(case: SignalCase, *, with_tokens: bool = True) -> list[LevelSignal]:
    """A line for each player and reward."""
    name, resets = case
    environment = get_environment(name)
    found: dict[tuple[str, str], list[ScoredEpisode]] = {}
    for reset in resets:
        texts = (
            build_transcript(environment, environment.policies["reference"], reset)
            if with_tokens
            else ()
        )
        read = count_tokens(texts) if with_tokens else None
        for strength in GRADED_PLAYERS:
            for number in range(ROLLOUTS_PER_GROUP):
                made = build_player(environment, reset, strength, str(number))
                for reward, paid in measure_rewards(environment, made, reset).items():
                    play = ScoredEpisode("", {**reset, "reward": reward}, paid, 0, tokens=read)
                    found.setdefault((strength.name, reward), []).append(play)
    players = [
        PlayerResults(strength, "", environment.versions, plays)
        for (strength, _), plays in found.items()
    ]
    return list(signal_by_level(players, environment))


def signal_tables(lines_by_environment: Mapping[str, list[LevelSignal]]) -> str:
    """The tables, in Markdown: a row for each level and mode, a column for each player."""
    titles = ["level", *(each.name for each in GRADED_PLAYERS), "per 1,000 tokens"]
    parts = []
    for name, measured in lines_by_environment.items():
        rows: dict[str, dict[str, list[LevelSignal]]] = {}
        for line in measured:
            words = [word for word in (line.level, line.mode.get("profile")) if word]
            rows.setdefault(", ".join(words), {}).setdefault(line.player, []).append(line)
        cells = [
            [
                level,
                *(
                    "/".join(f"{line.signal:.2f}" for line in by[each.name])
                    for each in GRADED_PLAYERS
                ),
                f"{by[HALF_RIGHT][0].per_1000_tokens or 0.0:.4f}",
            ]
            for level, by in rows.items()
        ]
        paid = "/".join(dict.fromkeys(line.mode["reward"] for line in measured))
        title = f"**{get_environment(name).title}** ({paid})"
        parts.append(f"{title}\n\n{markdown_table(titles, cells)}")
    return "\n\n".join(parts)


def rung_table(lines_by_environment: Mapping[str, list[LevelSignal]]) -> str:
    """The rungs' table: graded signal of the weakest and the half-right player."""
    titles = [get_environment(name).title for name in lines_by_environment]
    rows = []
    for number, rung in enumerate(RUNG_LEVEL_NAMES):
        row = [f"{number / (len(RUNG_LEVEL_NAMES) - 1):.2f}"]
        for measured in lines_by_environment.values():
            by = {e.player: e for e in measured if (e.level, e.mode["reward"]) == (rung, "graded")}
            row.append(f"{by[WEAKEST].signal:.2f}/{by[HALF_RIGHT].signal:.2f}")
        rows.append(row)
    return markdown_table(["difficulty", *titles], rows)


@app.command()
def measure_signal(
    tasks: Annotated[int, typer.Option(min=2, help="Tasks of each level.")] = 48,
    write: Annotated[Path | None, typer.Option(help="Page whose table is replaced.")] = None,
    workers: WorkersOption = 1,
) -> None:
    """Measure the signal of a ladder of players in every environment."""
    require_installed("bpe_openai", needed_for="counting tokens")
    parts = []
    for every, count, shown in (
        (iter_level_cases, True, signal_tables),
        (iter_rung_cases, False, rung_table),
    ):
        found: dict[str, list[LevelSignal]] = {}
        work = list(every(tasks))
        with ProcessPoolExecutor(workers or None) as pool:
            made = pool.map(partial(measure_case, with_tokens=count), work)
            for (name, _), found_there in zip(work, made, strict=True):
                found.setdefault(name, []).extend(found_there)
        parts.append(shown(found))
    tables = "\n\n**Rungs**, graded (random legal: aim 0.40 at 0/half right: 0.60)\n\n".join(parts)
    if write is None:
        typer.echo(tables)
        return
    head, _, rest = write.read_text(encoding="utf-8").partition(BEGIN_MARK)
    _, end, tail = rest.partition(END_MARK)
    if not end:
        raise typer.BadParameter(f"{write} has no place for the table: {BEGIN_MARK} … {END_MARK}")
    write.write_text(f"{head}{BEGIN_MARK}\n\n{tables}\n\n{END_MARK}{tail}", encoding="utf-8")


if __name__ == "__main__":
    app()
