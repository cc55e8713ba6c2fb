"""Certificates: proof, per episode, that it is fair.

The unit of work is one configuration; `certify_episode` is a pure function of it. It checks that
the reference plays the episode to 1.0 within its budget, that no other segment explains any run,
that each root is due to its cause alone, and that five sound detectors agree.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import product
from typing import Any

from drilldown_env.baselines import by_stage
from drilldown_env.building import generate
from drilldown_env.causes import roots_of_causes
from drilldown_env.config import DrillConfig
from drilldown_env.cube import cube_of
from drilldown_env.definition import dissent, explaining
from drilldown_env.domains import DOMAINS
from drilldown_env.generator import Draw, taken_back
from drilldown_env.levels import LEVELS
from drilldown_env.policies.players import POLICIES
from drilldown_env.products import products_of
from drilldown_env.session import DrillSession
from openenv_kit.errors import require_name
from openenv_kit.rollouts.run_policy import run_policy
from openenv_kit.trust.certify import CertificateTable

levels = default_levels = tuple(LEVELS)


@dataclass(frozen=True)
class Certificate:
    """What was found out about one episode.

    Attributes:
        config: what it was made from.
        score, steps, calls: of the reference.
        draws: draws that the generator needed.
        roots: how many there are, what the calendar announces among them.
        unique: whether no other single segment explains any run.
        caused: causes whose taking back leaves exactly the others' roots.
        causes: planned causes.
        quiet: whether nothing is found with all causes taken back.
        dissent: sound detectors that find something else.
    """

    config: DrillConfig
    score: float
    steps: int
    calls: int
    draws: int
    roots: int
    unique: bool
    caused: int
    causes: int
    quiet: bool
    dissent: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether the episode is proven solvable, unique and caused, and detectors agree."""
        within = self.score == 1.0 and self.calls <= self.config.level.budget
        caused = self.caused == self.causes and self.quiet
        return within and self.unique and caused and not self.dissent

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


def certify_episode(config: DrillConfig) -> Certificate:
    """Certify one episode, generated afresh."""
    draw, episode, draws = generate(config)
    cube, stages = cube_of(config.domain.shape), by_stage(draw.counts)
    session = DrillSession()
    outcome = run_policy(session, POLICIES["reference"], session.open("certificate", episode))
    planned = roots_of_causes(draw.causes)
    undone = partial(taken_back, cube, draw.clean, draw.causes)
    quiet = undone(draw.causes)
    single = len(draw.causes) == 1
    return Certificate(
        config=config,
        score=outcome.score,
        steps=outcome.step_count,
        calls=session.calls,
        draws=draws,
        roots=len(planned),
        unique=is_unique(draw),
        caused=quiet if single else sum(undone([each]) for each in draw.causes),
        causes=len(draw.causes),
        quiet=quiet,
        dissent=tuple(dissent(cube, stages, planned)),
    )


def is_unique(draw: Draw) -> bool:
    """Whether no other single segment explains a run, and none at all one of two segments."""
    channels = draw.answer.channels
    return all(
        explaining(channels[run.channel], run) == (list(run.cells) if len(run.cells) == 1 else [])
        for run in draw.answer.runs
    )


def tabulate_certificates(
    certificates: Sequence[Certificate],
) -> CertificateTable:
    """Titles and rows of a table of many certificates, by level and product."""
    added = {each.config.product for each in certificates} - set(DOMAINS)
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
                    f"{len(group) / sum(c.draws for c in group):.2f}",
                    str(sorted(c.calls for c in group)[int(0.95 * len(group))]),
                )
            )
    titles = ("level", "product", "episodes", "1.0", "unique", "undone", "agree", "accepted")
    return CertificateTable((*titles, "calls p95"), rows)


def summarize_certificates(certificates: Sequence[Certificate]) -> str:
    """Roots, and the largest use of a budget, in words."""
    roots = sum(each.roots for each in certificates)
    most = max(each.calls for each in certificates)
    return f"{roots} roots; the reference made at most {most} calls"


def iter_configurations(
    seeds: Iterable[int],
    *,
    levels: Sequence[str] = levels,
    extra_reset_arguments: Mapping[str, Any] | None = None,
) -> Iterator[DrillConfig]:
    """Configurations of every level and product, seed by seed, each with its strata in turn.

    Raises:
        UnknownNameError: `reset` names another argument than a product, or an unknown product.
    """
    given = dict(extra_reset_arguments or {})
    for name in given:
        require_name("argument of every reset", name, ("product",))
    for seed in seeds:
        for level in levels:
            known = products_of(LEVELS[level])
            names = [require_name("product", given["product"], known)] if given else list(DOMAINS)
            for place, name in enumerate(names):
                roots = LEVELS[level].roots
                yield DrillConfig(seed, level, name, roots[(seed + place) % len(roots)])
