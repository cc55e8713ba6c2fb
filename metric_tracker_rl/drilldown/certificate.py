"""Certificates: proof, per drill-down episode, that it is fair.

The unit of work is one configuration; `certify_one` is a pure function of it. It checks anew that
each root is due to its cause alone, that five sound detectors agree and that the reference plays
the episode to 1.0 within its budget, and beyond acceptance that no other explanation exists and
that the constants do not matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from typing import Any

from metric_tracker_rl.drilldown.agreement import can_be_undone, dissent
from metric_tracker_rl.drilldown.baselines import by_stage
from metric_tracker_rl.drilldown.building import generate
from metric_tracker_rl.drilldown.channel import STANDARD, Constants
from metric_tracker_rl.drilldown.config import MAX_CAUSES, DrillConfig
from metric_tracker_rl.drilldown.cube import Cube, Floats
from metric_tracker_rl.drilldown.definition import (
    Known,
    Root,
    people_of,
    settle,
)
from metric_tracker_rl.drilldown.domains import DOMAINS
from metric_tracker_rl.drilldown.generator import Draw
from metric_tracker_rl.drilldown.levels import LEVELS
from metric_tracker_rl.drilldown.policies import POLICIES
from metric_tracker_rl.drilldown.rivals import explaining
from metric_tracker_rl.drilldown.session import DrillRules, DrillSession
from openenv_kit.play.driver import play

levels = tuple(LEVELS)
REFERENCE = POLICIES["drill_reference"]


def variations() -> dict[str, Constants]:
    """The fourteen other sets of constants under which the answer must be the same."""
    tau, floor = STANDARD.tau, STANDARD.floor
    return {
        **{f"z {z}": replace(STANDARD, z=z) for z in (5.5, 7.0, 8.0)},
        **{f"tau x {f}": replace(STANDARD, tau=(tau[0] * f, tau[1] * f)) for f in (0.7, 1.4, 2.0)},
        **{
            f"floor x {f}": replace(STANDARD, floor=(floor[0] * f, floor[1] * f))
            for f in (0.7, 1.4)
        },
        **{f"people {n:.0f}": replace(STANDARD, people=n) for n in (200.0, 300.0, 600.0, 1000.0)},
        **{f"mix {m}": replace(STANDARD, mix=m) for m in (0.03, 0.065)},
    }


@dataclass(frozen=True)
class Certificate:
    """What was found out about one episode.

    Attributes:
        config: what it was made from.
        score, steps, numbers: of the reference, and how much of the budget it read: numbers, or
            rows on the SQL level.
        draws: draws the generator needed.
        roots: how many there are.
        hidden: how many of them lie in runs that no single value and no total shows at 3 σ.
        unique: whether no other single segment explains any run.
        caused: causes whose taking back leaves exactly the others' roots.
        causes: planned causes.
        quiet: whether nothing is found with all causes taken back.
        dissent: sound detectors that find something else.
        moved_by: variations of the constants that change the answer.
    """

    config: DrillConfig
    score: float
    steps: int
    numbers: int
    draws: int
    roots: int
    hidden: int
    unique: bool
    caused: int
    causes: int
    quiet: bool
    dissent: tuple[str, ...]
    moved_by: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether the episode is proven solvable, unique and caused, and detectors agree."""
        found = self.score == 1.0 and self.numbers <= self.config.level.budget
        return (
            found
            and self.unique
            and self.caused == self.causes
            and self.quiet
            and (not self.dissent)
        )

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready; `certificate_from` reads it again."""
        return asdict(self)


def certificate_from(told: dict[str, Any]) -> Certificate:
    """A certificate from its JSON form.

    Raises:
        KeyError, TypeError: it is not one.
    """
    lists = {name: tuple(told[name]) for name in ("dissent", "moved_by")}
    return Certificate(**{**told, **lists, "config": DrillConfig(**told["config"])})


def certify_one(config: DrillConfig) -> Certificate:
    """Certify one episode, generated afresh."""
    draw, episode = generate(config)
    cube, stages = episode.cube, by_stage(draw.counts)
    people = people_of(cube, stages)
    session = DrillSession()
    opening = session.start("certificate", episode, DrillRules())
    outcome = play(session, REFERENCE, opening)
    shown = {(run.channel, run.first): run.shown for run in draw.runs}
    known: Known = {}
    others = tuple(dissent(cube, stages, people, draw.roots))
    settled = settle(cube, stages, people=people, known=known)
    settles = settled is not None and settled.last.roots == draw.roots
    return Certificate(
        config=config,
        score=outcome.score,
        steps=outcome.steps,
        numbers=session.read,
        draws=draw.draws,
        roots=len(draw.roots),
        hidden=sum(shown[root.stage, root.first] < 3.0 for root in draw.roots),
        unique=_is_unique(draw, known),
        caused=sum(
            can_be_undone(cube, draw.clean, draw.causes, [cause], known) for cause in draw.causes
        ),
        causes=len(draw.causes),
        quiet=can_be_undone(cube, draw.clean, draw.causes, draw.causes, known),
        dissent=others if settles else (*others, "fixed_point"),
        moved_by=tuple(_moved_by(cube, stages, people, draw.roots, known)),
    )


def table(certificates: Sequence[Certificate]) -> tuple[Sequence[str], list[Sequence[str]]]:
    """Titles and rows of a table of many certificates, by level and product."""
    added = {each.config.product for each in certificates} - set(DOMAINS)
    titles = ("level", "product", "episodes", "1.0", "unique", "undone", "agree", "constants")
    rows: list[Sequence[str]] = []
    for level, name in product(LEVELS, (*DOMAINS, *sorted(added))):
        group = [
            c for c in certificates if (c.config.difficulty, c.config.product) == (level, name)
        ]
        if group:
            rows.append(
                (
                    *(level, name, str(len(group))),
                    str(sum(c.score == 1.0 for c in group)),
                    str(sum(c.unique for c in group)),
                    f"{sum(c.caused for c in group)}/{sum(c.causes for c in group)}",
                    str(sum(not c.dissent for c in group)),
                    str(sum(not c.moved_by for c in group)),
                    f"{sum(c.draws for c in group) / len(group):.2f}",
                )
            )
    return (*titles, "draws"), rows


def summary(certificates: Sequence[Certificate]) -> str:
    """Roots, hidden roots and the largest use of the budget, in words."""
    roots, hidden = (sum(getattr(c, name) for c in certificates) for name in ("roots", "hidden"))
    most = max(c.numbers for c in certificates)
    return f"{roots} roots, {hidden} of them hidden; the reference read at most {most} numbers"


def grid(
    seeds: Iterable[int],
    *,
    difficulties: Sequence[str] = levels,
    products: Sequence[str] = tuple(DOMAINS),
) -> Iterator[DrillConfig]:
    """Configurations of every level and product with 0 to 4 causes, seed by seed."""
    for seed in seeds:
        for level, name, causes in product(difficulties, products, range(MAX_CAUSES + 1)):
            yield DrillConfig(seed, level, name, causes)


def _is_unique(draw: Draw, known: Known) -> bool:
    """Whether no other single segment explains a run, and none at all one of two segments.

    The channels are those of the definition's last round; where it ended elsewhere, nothing is
    unique.
    """
    channels = known.get(draw.roots, [])
    return bool(channels) and all(
        explaining(channels[run.channel], run.first, run.stop)
        == (list(run.cells) if len(run.cells) == 1 else [])
        for run in draw.runs
    )


def _moved_by(
    cube: Cube,
    stages: Floats,
    people: Sequence[Floats | None],
    roots: tuple[Root, ...],
    known: Known,
) -> Iterator[str]:
    """Variations of the constants under which the answer is another."""
    for name, constants in variations().items():
        settled = settle(cube, stages, constants, people, known=known)
        if settled is None or settled.last.roots != roots:
            yield name
