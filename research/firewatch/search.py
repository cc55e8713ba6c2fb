"""A bounded, seeded search for the best player that does not look: law 2's adversary."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from firewatch_env.actions import ACTIONS
from firewatch_env.exploits import PLACES, Move, Program
from firewatch_env.tasks.task import Task
from research.firewatch.laws import measure_mean_score

PARAMETER_VARIANTS: dict[str, tuple[dict[str, object], ...]] = {
    "scale_replicas": ({}, {"replicas": 1000}, {"memory_limit_mb": 1e9}),
    "rollback_deploy": ({}, {"undo": True}),
    "revert_config": ({}, {"undo": True}),
}
"""Parameters that are tried beside none."""
SEARCHED_MOVES: tuple[Move, ...] = tuple(
    (name, given)
    for name, action in ACTIONS.items()
    if action.changes
    for given in PARAMETER_VARIANTS.get(name, ({},))
)


def best_programs(
    programs: Iterator[Program], tasks: Sequence[Task], max_programs: int
) -> list[Program]:
    """The best of some programs, the best first; of equals, the one that was named first."""
    scored = [
        (measure_mean_score(tasks, each.play), -number, each)
        for number, each in enumerate(programs)
    ]
    return [each for _, _, each in sorted(scored, key=lambda x: x[:2], reverse=True)[:max_programs]]


def search_best_program(tasks: Sequence[Task], beam_width: int = 8) -> Program:
    """The best program found: one change everywhere, then another before or after, then a third.

    Args:
        tasks: to score on, of the split train.
        beam_width: how many programs go on from each round.
    """
    few = tasks[: max(len(tasks) // 3, 1)]
    singles = best_programs(
        (Program("deepest", (move,)) for move in SEARCHED_MOVES), few, 2 * beam_width
    )
    moves = [program.moves[0] for program in singles]
    everywhere = (Program(place, (move,)) for place in PLACES for move in moves)
    front = best_programs(everywhere, few, beam_width)
    found = list(front)
    for _ in range(2):
        longer = (
            replace(program, moves=added, again=again)
            for program in front
            for move in moves
            for added in ((*program.moves, move), (move, *program.moves))
            for again in (False, True)
        )
        front = best_programs(longer, few, beam_width)
        found += front
    timed = (
        replace(program, until_well=ticks)
        for program in best_programs(iter(found), few, beam_width)
        for ticks in (0, 2, 5, 8)
    )
    return best_programs(timed, tasks, 1)[0]
