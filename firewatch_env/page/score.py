"""The score at the end: its three factors as a waterfall, from the replays that the grader uses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from operator import mul
from typing import Any

from firewatch_env.grade import MOST_CHANGES
from firewatch_env.page.story import CHANGING, Story
from firewatch_env.policies.par import plan
from firewatch_env.replay import QUIET, Change, replay
from firewatch_env.session import Session
from firewatch_env.tasks.book import find
from firewatch_env.tasks.task import Task, open_world
from openenv_kit.environment import Session as Played
from openenv_kit.page.markup import facts, heading, hint
from openenv_kit.page.waterfall import Part, waterfall_html

MINUTES = 30 * 0.5
"""Bad customer-minutes of one customer let down a second for a tick, as observations count."""

CURVES = (
    "Harm in each tick, from the replays that the score is made of. After the dashed line the "
    "incident goes on without anybody."
)
PLAYER = "this play"
"""What a play that the visitor only watches is called."""


@dataclass(frozen=True)
class Courses:
    """Bad customer-minutes in each tick, from the first to the last that the grade looks at.

    Attributes:
        nobody, played, reference: had nobody acted, as it was played, with the reference's changes.
        max_ticks: ticks that could be played; the others are what followed without anybody.
        power: to which the share of the harm spared is raised.
    """

    nobody: tuple[float, ...]
    played: tuple[float, ...]
    reference: tuple[float, ...]
    max_ticks: int
    power: int


def task_of(session: Played) -> Task:
    """The task that a session of this environment plays."""
    return find(session.identity()["reset"])


def courses(task: Task, actions: Iterable[Mapping[str, Any]]) -> Courses:
    """The three courses that the grade compares; told only once a play is over.

    Args:
        task: what was played.
        actions: everything that was done, in order.
    """
    again = Session(lambda _: task, None)
    again.reset()
    for action in actions:
        again.step(action)
    start = open_world(task)

    def course(changes: Sequence[Change]) -> tuple[float, ...]:
        return tuple(each * MINUTES for each in replay(start, changes, task.horizon).harm)

    return Courses(
        course(()), course(again.changes()), course(plan(task)), task.max_ticks, task.power
    )


def over(story: Story) -> bool:
    """Whether the play was graded, so that its score may be told."""
    return bool(story.now.get("done") and story.now.get("score_parts"))


def courses_of(session: Played, story: Story) -> Courses | None:
    """The courses of a play that is over; None, and nothing replayed, before."""
    if not over(story):
        return None
    return courses(task_of(session), [frame.action for frame in story.frames if frame.action])


def score_html(story: Story, found: Courses | None, player: str) -> str:
    """The score and its three factors, each with a bar, a sentence and its numbers.

    Args:
        story: the play.
        found: its courses; nothing is told without them.
        player: who played, as the sentences call them.
    """
    if found is None:
        return ""
    parts = story.now["score_parts"]
    score, names = story.now["episode_score"], ("impact", "precision", "closure")
    product = " × ".join(f"{parts[name]:.4g}" for name in names)
    told = (_impact(found, player), _precision(story, parts), _closure(story, parts))
    # The first factor is what there is to multiply; each later one takes its share away.
    reached = [0.0, *accumulate((parts[name] for name in names), mul)]
    steps = [
        Part(f"{'× ' if at else ''}{name} {parts[name]:.4g}", reached[at + 1] - reached[at], said)
        for at, (name, (said, _)) in enumerate(zip(names, told, strict=True))
    ]
    blocks = "".join(
        f'<section class="fw-factor"><h3>{name}</h3>{numbers}</section>'
        for name, (_, numbers) in zip(names, told, strict=True)
    )
    perfect = " perfect" if score >= 1.0 else ""
    return (
        f'<section class="mt-outcome">{heading("Score", "impact × precision × closure")}'
        f'<div class="fw-score{perfect}"><strong>{score:.4f}</strong><p>= {product}</p></div>'
        f'{waterfall_html(steps, score)}<div class="fw-factors">{blocks}</div>'
        f"{hint(CURVES)}</section>"
    )


def _impact(found: Courses, player: str) -> tuple[str, str]:
    """The sentence and the numbers."""
    nobody, played, par = (sum(each) for each in (found.nobody, found.played, found.reference))
    avoidable, avoided = nobody - par, nobody - played
    if avoidable <= 0:
        said = "No customer would have been let down had nobody acted: there was nothing to spare."
    else:
        own = f"spared them {avoided:,.0f}" if avoided >= 0 else f"cost them {-avoided:,.0f} more"
        said = (
            f"The reference spares customers {avoidable:,.0f} bad minutes, {player} {own}; impact "
            f"is the share, between 0 and 1, to the power of {found.power}."
        )
    numbers = {
        "had nobody acted": f"{nobody:,.1f}",
        player: f"{played:,.1f}",
        "reference": f"{par:,.1f}",
    }
    return said, facts(numbers)


def _precision(story: Story, parts: Mapping[str, Any]) -> tuple[str, str]:
    tried = sum(m.group in CHANGING and not m.refused for m in story.moves)
    useless = parts["unneeded"]
    if not tried:
        said = "Nothing was changed, so no change was unneeded."
    elif not useless:
        said = "No change was unneeded: customers would have been worse off without any of them."
    else:
        said = (
            "An unneeded change is one without which customers would have been no worse off, or "
            "that found nothing to act on; repeats of one's own are free. Each costs a quarter, "
            f"down to 0.3; more than {MOST_CHANGES} changes are 0.3 at once."
        )
    return said, facts({"changes and attempts": tried, "unneeded": useless})


def _closure(story: Story, parts: Mapping[str, Any]) -> tuple[str, str]:
    declared, ended = story.now["incident_declared"], parts["recovered"]
    if declared and parts["closure"] == 1:
        said = "Declared over, and it was: no customer was let down again."
    elif declared:
        said = (
            "Declared over while customers were let down or something still paged."
            if ended
            else "Declared over, though customers were let down again afterwards."
        )
    elif parts["closure"] == 0:
        said = "Nothing was changed and nothing declared, as if nobody had been there."
    else:
        said = f"{'It was over' if ended else 'It was not over'}, and nobody declared it so."
    return said, facts({"declared": declared, f"quiet for the last {QUIET} ticks": ended})
