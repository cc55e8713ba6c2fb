"""The eight laws of the score, measured; `tests/firewatch/test_laws.py` holds them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any

from firewatch_env.exploits import FOUND, Program, obey
from firewatch_env.play import Play, named
from firewatch_env.policies.keyword_rules import keyword_rules
from firewatch_env.policies.own_play import reference_changes
from firewatch_env.policies.reference import Script, reference
from firewatch_env.policies.registry import declare_at_once, null, random_player
from firewatch_env.replay import Change, replay
from firewatch_env.tasks.book import SPLITS, find, named_task, split_task
from firewatch_env.tasks.levels import LEVELS
from firewatch_env.tasks.named import NAMED
from firewatch_env.tasks.task import Task, open_world
from openenv_kit.float_sum import sum_left_to_right
from openenv_kit.splits import find_task_indices_of_level
from research.firewatch.players import (
    changes_from_advice,
    finish_and_score,
    iter_mitigations,
    play_and_score,
    play_half_right,
    play_reference_late,
)

DELAY_TICKS = (0, 2, 4, 6, 10)
PLAYS_PER_GROUP = 8  # of a group
NEGLIGIBLE_GAIN = 1e-3  # a wrong change may spare another service some load
MAX_PLAYED_MITIGATIONS = 4  # stopgaps that are played, of those that spare most


def list_tasks(split: str, level: str, max_tasks: int) -> list[Task]:
    """The first tasks of a level in a split, or all named ones of it."""
    if split == "named":
        return [named_task(n, n.seed) for n in NAMED.values() if n.difficulty == level][:max_tasks]
    return [
        split_task(split, index)
        for index in find_task_indices_of_level(SPLITS, split, level)[:max_tasks]
    ]


def mean_or_zero(values: Sequence[float]) -> float:
    """Their mean; 0 of none."""
    return sum_left_to_right(values) / len(values) if values else 0.0


def players_of_level(level: str) -> Mapping[str, Callable[[Mapping[str, Any]], Script]]:
    """Those of laws 1, 2 and 8, by name."""
    found: dict[str, Callable[[Mapping[str, Any]], Script]] = {
        "reference": reference, "null": null, "declare_at_once": declare_at_once,
        "random": random_player, "obey": obey,
    }  # fmt: skip
    if level in FOUND:
        found["blind"] = FOUND[level].play
    return found


def measure_mean_score(
    tasks: Sequence[Task], player: Callable[[Mapping[str, Any]], Script]
) -> float:
    """A player's mean score."""
    return mean_or_zero([play_and_score(Play(task), player) for task in tasks])


def mean_scores_by_delay(tasks: Sequence[Task]) -> dict[int, float]:
    """Law 3: mean score of the reference's changes, by how many ticks later they come."""
    return {
        ticks: mean_or_zero([finish_and_score(play_reference_late(task, ticks)) for task in tasks])
        for ticks in DELAY_TICKS
    }


def score_of_latest_repair(task: Task) -> float:
    """Law 4: the reference's changes, so late that twelve ticks are left for them."""
    changes = reference_changes(task)
    if not changes:
        return 1.0
    return finish_and_score(
        play_reference_late(task, max(task.max_ticks - 12 - changes[-1].tick, 0))
    )


def has_differing_scores(task: Task) -> bool:
    """Law 6: whether plays of a half-right player differ."""
    return len({round(play_half_right(task, seed), 3) for seed in range(PLAYS_PER_GROUP)}) > 1


def score_with_mitigation(task: Task, delay_ticks: int = 10) -> tuple[float, float]:
    """Law 7: scores of the late repair alone, and after the best of a few measures.

    Of the stopgaps at tick 4 that spare most, the best is taken even if it costs; at tick 5
    another, if that earns more still. Each has to spare more than the grade asks of what is put
    back; pods that idle are no measure. Breakers are closed again when the repair has reached the
    pods, where there is time.
    """
    alone = play_reference_late(task, delay_ticks)
    changes = [step.change for step in alone.steps]
    start, done = open_world(task), changes[-1].tick + 5
    clearly = 0.03 * replay(start, (), task.horizon).total

    def harm(measures: Sequence[Change], most: float = float("inf")) -> float:
        return replay(start, [*measures, *changes], task.horizon, most, done).total

    def earns(measures: Sequence[Change]) -> float | None:
        opened = [each.target for each in measures if each.action == "circuit_break"]
        closed = [
            Change(done + at, "circuit_break", target, {"state": "closed"})
            for at, target in enumerate(opened)
            if done + at < task.max_ticks
        ]
        play = play_reference_late(task, delay_ticks, [*measures, *closed])
        paid, new = finish_and_score(play), measures[-1]
        assert play.grade is not None
        idle = named(new.action, new.target, new.tick) in play.grade.needless
        return None if idle and "replicas" in new.parameters else paid

    best: list[Change] = []
    earned = finish_and_score(alone)
    for tick in (4, 5):
        done_to = {(each.action, each.target) for each in (*changes, *best)}
        before, found = harm(best), []
        for each in iter_mitigations(tick, start.services):
            if (each.action, each.target) not in done_to:
                most = before - clearly
                if (left := harm([*best, each], most)) <= most:
                    found.append((left, each))
        found.sort(key=itemgetter(0))
        plays = [(earns([*best, each]), each) for _, each in found[:MAX_PLAYED_MITIGATIONS]]
        scored = [(paid, each) for paid, each in plays if paid is not None]
        gained, chosen = max(scored, key=itemgetter(0), default=(0.0, None))
        if chosen is None or (best and gained <= earned):
            break
        best, earned = [*best, chosen], gained
    return finish_and_score(alone), earned


def is_advice_rewarded(task: Task) -> bool:
    """Law 8: whether doing what its logs advise earns more than not doing it."""
    orders = changes_from_advice(task)
    return (
        bool(orders)
        and finish_and_score(play_reference_late(task, 4, orders))
        > finish_and_score(play_reference_late(task, 4)) + NEGLIGIBLE_GAIN
    )


def keyword_rules_mean_score() -> float:
    """Law 5: the rules of existing clients over the 60 named tasks."""
    tasks = [find({"task_id": name}) for name in NAMED]
    return measure_mean_score(tasks, keyword_rules)


def print_law_figures(
    tasks_per_level: int, splits: Sequence[str] = ("named", "validation", "test")
) -> None:
    """Print everything, each law over so many tasks of each level and split."""
    for level in LEVELS:
        print(f"\n{level}")
        for split in splits:
            tasks = list_tasks(split, level, tasks_per_level)
            scores = {
                name: measure_mean_score(tasks, player)
                for name, player in players_of_level(level).items()
            }
            print(f"  {split:11}", " ".join(f"{n} {v:.3f}" for n, v in scores.items()), flush=True)
        tasks = list_tasks("validation", level, tasks_per_level)
        print(
            "  late       ",
            {k: round(v, 3) for k, v in mean_scores_by_delay(tasks).items()},
            flush=True,
        )
        print(f"  whenever    at least {min(map(score_of_latest_repair, tasks)):.3f}", flush=True)
        print(
            f"  differ      {mean_or_zero([float(has_differing_scores(t)) for t in tasks]):.3f}",
            flush=True,
        )
        pairs = [score_with_mitigation(task) for task in tasks if not task.calm]
        gains = [after - alone for alone, after in pairs]
        more = mean_or_zero([float(gain >= 0.05) for gain in gains])
        print(
            f"  mitigate, then repair: +0.05 on {more:.3f}; at least {min(gains):+.3f}; "
            f"mean {mean_or_zero(gains):+.3f}",
            flush=True,
        )
    print(f"\nkeyword rules over the 60 named tasks: {keyword_rules_mean_score():.3f}")


def mean_scores_by_split(level: str, program: Program, max_tasks: int) -> Mapping[str, float]:
    """What a program earns on each split."""
    return {
        split: measure_mean_score(list_tasks(split, level, max_tasks), program.play)
        for split in ("train", "validation", "test")
    }
