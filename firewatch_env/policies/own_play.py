"""The reference's own play of a task: what it changes, and what customers go through meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from firewatch_env.play import Play
from firewatch_env.policies.reference import Action, Script, reference
from firewatch_env.replay import Change, replay
from firewatch_env.tasks.task import Key, Task, open_world
from openenv_kit.float_sum import sum_left_to_right


def turns(play: Play, script: Script, *, observed: bool = False) -> Iterator[Action]:
    """Play a script to its end.

    Args:
        play: perhaps under way already.
        script: a player at its first action.
        observed: the player sees every observation; else messages alone, which takes less time.

    Yields:
        Each action, once it has been answered.
    """
    try:
        action = next(script)
        while not play.done:
            parameters = action.get("parameters", {})
            play.act(action["action_type"], action.get("target_service"), parameters)
            yield action
            seen = play.observe() if observed else {}
            action = script.send({**seen, "message": play.message})
    except StopIteration:
        return


def run(play: Play, script: Script, *, observed: bool = False) -> None:
    """Play a script to its end; see `turns`."""
    for _ in turns(play, script, observed=observed):
        pass


@dataclass(frozen=True)
class _Own:
    """The reference's own play of a task."""

    harm: tuple[float, ...]
    changes: tuple[Change, ...]


@lru_cache(maxsize=256)
def _own(key: Key) -> _Own:
    play = Play(key.task, graded=False)
    run(play, reference({"message": play.message}))
    changes = tuple(step.change for step in play.steps)
    course = replay(open_world(key.task), changes, key.task.horizon, ends=play.tick)
    return _Own(course.harm, changes)


def reference_course(task: Task) -> tuple[float, ...]:
    """Harm in each tick of the reference's own play, to the horizon."""
    return _own(Key(task)).harm


def reference_harm(task: Task) -> float:
    """Harm to a task's customers in the reference's own play."""
    return sum_left_to_right(reference_course(task))


def reference_changes(task: Task) -> tuple[Change, ...]:
    """What the reference changes in its own play."""
    return _own(Key(task)).changes
