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
from metric_tracker_rl.engine.definitions.rungs import STAGES as FUNNEL
from openenv_kit.cli.common import Workers, installed
from openenv_kit.environment import get_environment
from openenv_kit.results.scored_episodes import Play, Player
from openenv_kit.results.signal import GROUP, SignalLine, lines
from openenv_kit.rollouts.curriculum import RUNGS
from openenv_kit.splits import hashed_seed, tasks_of_level
from research.benchmark_report.tables import table
from research.graded_players import LADDER, player, rewards
from research.tokens import count_tokens
from research.transcript import transcript

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

SPLIT = "validation"
LEVELS: Mapping[str, tuple[str, ...]] = {
    "metric_tracker_rl": ("easy", "medium", "hard", "expert"),
    "drilldown": ("drill_easy", "drill", "drill_hard", "drill_sql"),
    "firewatch": ("easy", "medium", "hard"),
}
MODES: Mapping[str, tuple[Mapping[str, str], ...]] = {
    "metric_tracker_rl": ({"profile": "standard"}, {"profile": "lean"})
}
"""Modes of play that are measured, where there is more than one."""
STAGES: Mapping[str, Sequence[Mapping[str, str]]] = {
    "metric_tracker_rl": [{**each, "profile": "lean"} for each in FUNNEL],
    "drilldown": DRILL,
    "firewatch": FIREWATCH,
}
"""The rungs of each environment, from difficulty 0 to 1."""
WEAKEST, HALF = LADDER[0].name, LADDER[2].name
"""The players that aims are about; the second one's signal is also told per 1,000 tokens."""
BEGIN, END = "<!-- python -m research.measure_signal -->", "<!-- end -->"

Case = tuple[str, tuple[Mapping[str, Any], ...]]
"""An environment, and resets of one level in one mode."""


def cases(tasks: int) -> Iterator[Case]:
    """Every environment, level and mode."""
    for name, levels in LEVELS.items():
        splits: Any = get_environment(name).splits
        for level in levels:
            places = tasks_of_level(splits, SPLIT, level)[:tasks]
            for mode in MODES.get(name, ({},)):
                yield name, tuple({"split": SPLIT, "index": each, **mode} for each in places)


def rungs(tasks: int) -> Iterator[Case]:
    """Every environment's rungs."""
    for name, stages in STAGES.items():
        for stage in stages:
            texts = [f"{name}|signal|{stage['difficulty']}|{number}" for number in range(tasks)]
            yield name, tuple({**stage, "seed": hashed_seed(text)} for text in texts)


def measured(case: Case, *, tokens: bool = True) -> list[SignalLine]:
    """A line for each player and reward."""
    name, resets = case
    environment = get_environment(name)
    found: dict[tuple[str, str], list[Play]] = {}
    for reset in resets:
        texts = transcript(environment, environment.policies["reference"], reset) if tokens else ()
        read = count_tokens(texts) if tokens else None
        for strength in LADDER:
            for number in range(GROUP):
                made = player(environment, reset, strength, str(number))
                for reward, paid in rewards(environment, made, reset).items():
                    play = Play("", {**reset, "reward": reward}, paid, 0, tokens=read)
                    found.setdefault((strength.name, reward), []).append(play)
    players = [
        Player(strength, "", environment.versions, plays) for (strength, _), plays in found.items()
    ]
    return list(lines(players, environment))


def page(found: Mapping[str, list[SignalLine]]) -> str:
    """The tables, in Markdown: a row for each level and mode, a column for each player."""
    titles = ["level", *(each.name for each in LADDER), "per 1,000 tokens"]
    parts = []
    for name, measured in found.items():
        rows: dict[str, dict[str, list[SignalLine]]] = {}
        for line in measured:
            words = [word for word in (line.level, line.mode.get("profile")) if word]
            rows.setdefault(", ".join(words), {}).setdefault(line.player, []).append(line)
        cells = [
            [
                level,
                *("/".join(f"{line.signal:.2f}" for line in by[each.name]) for each in LADDER),
                f"{by[HALF][0].per_thousand or 0.0:.4f}",
            ]
            for level, by in rows.items()
        ]
        paid = "/".join(dict.fromkeys(line.mode["reward"] for line in measured))
        title = f"**{get_environment(name).title}** ({paid})"
        parts.append(f"{title}\n\n{table(titles, cells)}")
    return "\n\n".join(parts)


def ladder(found: Mapping[str, list[SignalLine]]) -> str:
    """The rungs' table: graded signal of the weakest and the half-right player."""
    titles = [get_environment(name).title for name in found]
    rows = []
    for number, rung in enumerate(RUNGS):
        row = [f"{number / (len(RUNGS) - 1):.2f}"]
        for measured in found.values():
            by = {e.player: e for e in measured if (e.level, e.mode["reward"]) == (rung, "graded")}
            row.append(f"{by[WEAKEST].signal:.2f}/{by[HALF].signal:.2f}")
        rows.append(row)
    return table(["difficulty", *titles], rows)


@app.command()
def signal(
    tasks: Annotated[int, typer.Option(min=2, help="Tasks of each level.")] = 48,
    write: Annotated[Path | None, typer.Option(help="Page whose table is replaced.")] = None,
    workers: Workers = 1,
) -> None:
    """Measure the signal of a ladder of players in every environment."""
    installed("bpe_openai", needed_for="counting tokens")
    parts = []
    for every, count, shown in ((cases, True, page), (rungs, False, ladder)):
        found: dict[str, list[SignalLine]] = {}
        work = list(every(tasks))
        with ProcessPoolExecutor(workers or None) as pool:
            made = pool.map(partial(measured, tokens=count), work)
            for (name, _), found_there in zip(work, made, strict=True):
                found.setdefault(name, []).extend(found_there)
        parts.append(shown(found))
    tables = "\n\n**Rungs**, graded (random legal: aim 0.40 at 0/half right: 0.60)\n\n".join(parts)
    if write is None:
        typer.echo(tables)
        return
    head, _, rest = write.read_text(encoding="utf-8").partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not end:
        raise typer.BadParameter(f"{write} has no place for the table: {BEGIN} … {END}")
    write.write_text(f"{head}{BEGIN}\n\n{tables}\n\n{END}{tail}", encoding="utf-8")


if __name__ == "__main__":
    app()
