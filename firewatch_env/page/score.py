"""The score at the end: its parts as a waterfall, from the replays that the grader uses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from firewatch_env.grade import IMPACT, MOST_CHANGES, RESOLVED
from firewatch_env.page.story import CHANGING, Story
from firewatch_env.policies.own_play import reference_course
from firewatch_env.replay import replay
from firewatch_env.session import FirewatchSession
from firewatch_env.tasks.book import find
from firewatch_env.tasks.task import QUIET, Task, open_world
from openenv_kit.page.components.elements import definition_list_html, heading_html, hint_html
from openenv_kit.page.components.waterfall import ScorePart, waterfall_chart_html

MINUTES = 30 * 0.5
"""Bad customer-minutes of one customer let down a second for a tick, as observations count."""
CURVES = (
    "Harm in each tick, from the replays that the score is made of. After the end of the play "
    "whatever was only lent is taken back, and the incident goes on without anybody."
)
PLAYER = "this play"
"""What a play that the visitor only watches is called."""


@dataclass(frozen=True)
class Courses:
    """Bad customer-minutes in each tick, from the first to the last that the grade looks at.

    Attributes:
        nobody, played, reference: had nobody acted, as it was played, as the reference plays it.
        max_ticks: ticks that could be played.
        roots: services at which something was wrong.
    """

    nobody: tuple[float, ...]
    played: tuple[float, ...]
    reference: tuple[float, ...]
    max_ticks: int
    roots: tuple[str, ...] = ()


def courses(task: Task, actions: Iterable[Mapping[str, Any]]) -> Courses:
    """The three courses that the grade compares; told only once a play is over.

    Args:
        task: what was played.
        actions: everything that was done, in order.
    """
    again = FirewatchSession(lambda _: task)
    again.reset()
    for action in actions:
        again.step(action)
    start, play = open_world(task), again.play
    changes = [] if play is None else [step.change for step in play.steps]
    end = 0 if play is None else play.tick
    nobody = replay(start, (), task.horizon).harm
    played = replay(start, changes, task.horizon, ends=end).harm
    roots = tuple(str(each[0]) for each in task.roots)
    reference = _minutes(reference_course(task))
    return Courses(_minutes(nobody), _minutes(played), reference, task.max_ticks, roots)


def _minutes(harm: Iterable[float]) -> tuple[float, ...]:
    return tuple(each * MINUTES for each in harm)


def over(story: Story) -> bool:
    """Whether the play was graded, so that its score may be told."""
    return bool(story.now.get("done") and story.now.get("score_parts"))


def courses_of(reset: Mapping[str, Any], story: Story) -> Courses | None:
    """The courses of a play that is over; None, and nothing replayed, before."""
    if not over(story):
        return None
    session = FirewatchSession()
    session.reset(**reset)
    actions = [frame.action for frame in story.frames if frame.action]
    return courses(find(session.build_episode_identity()["reset"]), actions)


def score_html(story: Story, found: Courses | None, player: str) -> str:
    """The score and its parts, each with a bar, a sentence and its numbers.

    Args:
        story: the play.
        found: its courses; nothing is told without them.
        player: who played, as the sentences call them.
    """
    if found is None:
        return ""
    parts, score = story.now["score_parts"], story.now["episode_score"]
    ended, spared = RESOLVED * parts["resolved"], IMPACT * parts["impact"]
    factors: Sequence[tuple[str, float, tuple[str, str]]] = (
        ("resolved", ended, _resolved(story, parts)),
        ("impact", spared, _impact(found, player)),
        ("precision", score - ended - spared, _precision(story, parts)),
    )
    names = (
        f"{RESOLVED} × resolved {parts['resolved']:g}",
        f"+ {IMPACT} × impact {parts['impact']:.4g}",
        f"× precision {parts['precision']:.4g}",
    )  # fmt: skip
    steps = [
        ScorePart(name, by, said) for name, (_, by, (said, _)) in zip(names, factors, strict=True)
    ]
    blocks = "".join(
        f'<section class="fw-factor"><h3>{name}</h3>{numbers}</section>'
        for name, _, (_, numbers) in factors
    )
    perfect = " perfect" if score >= 1.0 else ""
    formula = f"precision × ({RESOLVED} resolved + {IMPACT} impact)"
    return (
        f'<section class="mt-outcome">{heading_html("Score", formula)}'
        f'<div class="fw-score{perfect}"><strong>{score:.4f}</strong></div>'
        f'{waterfall_chart_html(steps, score)}<div class="fw-factors">{blocks}</div>'
        f"{hint_html(CURVES)}</section>"
    )


def _impact(found: Courses, player: str) -> tuple[str, str]:
    """The sentence and the numbers."""
    nobody, played, par = (sum(each) for each in (found.nobody, found.played, found.reference))
    if nobody <= par:
        said = "No customer would have been let down had nobody acted: there was nothing to spare."
    else:
        said = (
            f"The reference spares customers {nobody - par:,.0f} bad minutes, {player} "
            f"{nobody - played:,.0f}; impact is the share, between 0 and 1."
        )
    numbers = {"had nobody acted": nobody, player: played, "reference": par}
    return said, definition_list_html({name: f"{value:,.1f}" for name, value in numbers.items()})


def _precision(story: Story, parts: Mapping[str, Any]) -> tuple[str, str]:
    tried = sum(m.group in CHANGING and not m.refused for m in story.moves)
    if not tried:
        said = "Nothing was changed, so no change was unneeded."
    elif not parts["unneeded"]:
        said = "No change was unneeded: customers would have been worse off without any of them."
    else:
        said = (
            "An unneeded change is one without which customers would have been no worse off, or "
            "that found nothing to act on. Each costs a quarter, down to 0.3; more than "
            f"{MOST_CHANGES} changes are 0.3 at once."
        )
    return said, definition_list_html(
        {"changes and attempts": tried, "unneeded": parts["unneeded"]}
    )


def _resolved(story: Story, parts: Mapping[str, Any]) -> tuple[str, str]:
    declared, ended = story.now["incident_declared"], parts["recovered"]
    if parts["resolved"] == 1:
        said = "Declared over, and it was: no customer was let down again."
    elif ended:
        said = "It was over, and nobody declared it so."
    elif declared:
        said = "Declared over, though customers were let down again afterwards."
    else:
        said = "It was not over."
    return said, definition_list_html({"declared": declared, f"quiet for {QUIET} ticks": ended})
