"""Certificates: for each episode, a record that it has one answer and can be solved."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from statistics import quantiles
from typing import Any

from drilldown_next.change_log import find_change
from drilldown_next.config import EpisodeConfig
from drilldown_next.definition import (
    LOOSE_LIMITS,
    NOMINAL_LIMITS,
    TIGHT_LIMITS,
    find_roots,
)
from drilldown_next.episode import build_episode
from drilldown_next.generator import GeneratedCounts, generate_counts
from drilldown_next.levels import ALL_LEVELS, LEVELS
from drilldown_next.policies.players import POLICIES
from drilldown_next.products import PRODUCTS
from drilldown_next.sampling import Loss
from drilldown_next.segments import SegmentDays
from drilldown_next.session import DrilldownSession
from openenv_kit.errors import require_name
from openenv_kit.rollouts.run_policy import run_policy
from openenv_kit.trust.certify import CertificateTable

levels, default_levels = tuple(ALL_LEVELS), tuple(LEVELS)
"""Names of the levels that can be certified, and of those that are certified by default."""


@dataclass(frozen=True)
class Certificate:
    """What was verified about one episode.

    Attributes:
        config: what the episode was generated from.
        score, steps, calls: of the reference.
        draws: number of draws until one was accepted.
        roots: number of roots.
        is_planned: whether the answer is what was planted, under all three sets of limits.
        is_clean_without_roots: whether nothing is found without the planted losses.
        separable_roots: number of roots whose removal removes their row and no other.
        is_attributed: whether the log gives the change of every row.
    """

    config: EpisodeConfig
    score: float
    steps: int
    calls: int
    draws: int
    roots: int
    is_planned: bool
    is_clean_without_roots: bool
    separable_roots: int
    is_attributed: bool

    @property
    def holds(self) -> bool:
        """Whether everything was verified."""
        is_solved = self.score == 1.0 and self.calls <= self.config.level.call_budget
        is_caused = self.is_clean_without_roots and self.separable_roots == self.roots
        return is_solved and self.is_planned and is_caused and self.is_attributed

    def as_dict(self) -> dict[str, Any]:
        """Return the certificate as JSON values."""
        return asdict(self)


def certify_episode(config: EpisodeConfig) -> Certificate:
    """Certify one episode, which is generated anew."""
    generated = generate_counts(config)
    episode = build_episode(config, generated)
    session = DrilldownSession()
    opening = session.open_episode("certificate", episode)
    outcome = run_policy(session, POLICIES["reference"], opening)
    all_limits = (LOOSE_LIMITS, NOMINAL_LIMITS, TIGHT_LIMITS)
    shape = generated.draw.product.shape
    answers = [
        sorted(
            root.place for root in find_roots(generated.counts, shape, generated.calendar, limits)
        )
        for limits in all_limits
    ]
    return Certificate(
        config=config,
        score=outcome.score,
        steps=outcome.step_count,
        calls=session.calls,
        draws=generated.attempt + 1,
        roots=len(generated.planted),
        is_planned=all(answer == generated.roots for answer in answers),
        is_clean_without_roots=not find_answer(generated, []),
        separable_roots=sum(is_separable(generated, loss) for loss in generated.planted),
        is_attributed=all(
            row.change == find_change(place, row.segment, episode.log)
            for row, place in zip(episode.expected_rows, generated.roots, strict=True)
        ),
    )


def find_answer(generated: GeneratedCounts, planted: Sequence[Loss]) -> list[SegmentDays]:
    """Return the answer if only some losses are planted, with the same random numbers."""
    counts = generated.draw.sample_counts([*generated.announced, *planted])
    found = find_roots(counts, generated.draw.product.shape, generated.calendar)
    return sorted(root.place for root in found)


def is_separable(generated: GeneratedCounts, removed: Loss) -> bool:
    """Return whether the removal of a loss removes its row and no other."""
    others = [loss for loss in generated.planted if loss is not removed]
    return find_answer(generated, others) == sorted(loss.place for loss in others)


def tabulate_certificates(certificates: Sequence[Certificate]) -> CertificateTable:
    """Return a table of certificates by level and product."""
    rows: list[Sequence[str]] = []
    for level, name in product(ALL_LEVELS, PRODUCTS):
        of_level = [each for each in certificates if each.config.difficulty == level]
        group = [each for each in of_level if each.config.product == name]
        if group:
            rows.append((level, name, *_summarize_group(group)))
    titles = ("level", "product", "episodes", "1.0", "planned", "clean", "separable", "attributed")
    return CertificateTable((*titles, "accepted", "calls p95"), rows)


def _summarize_group(group: Sequence[Certificate]) -> list[str]:
    roots = sum(each.roots for each in group)
    calls = [each.calls for each in group]
    largest = quantiles(calls, n=20)[-1] if len(calls) > 1 else calls[0]
    return [
        str(len(group)),
        str(sum(each.score == 1.0 for each in group)),
        str(sum(each.is_planned for each in group)),
        str(sum(each.is_clean_without_roots for each in group)),
        f"{sum(each.separable_roots for each in group)}/{roots}",
        str(sum(each.is_attributed for each in group)),
        f"{len(group) / sum(each.draws for each in group):.2f}",
        f"{largest:.0f}",
    ]


def summarize_certificates(certificates: Sequence[Certificate]) -> str:
    """Return the number of roots and the largest use of a budget, in words."""
    roots = sum(each.roots for each in certificates)
    most = max(each.calls for each in certificates)
    return f"{roots} roots; the reference made at most {most} calls"


def iter_configurations(
    seeds: Iterable[int],
    *,
    levels: Sequence[str] = default_levels,
    extra_reset_arguments: Mapping[str, Any] | None = None,
) -> Iterator[EpisodeConfig]:
    """Yield configurations of every level and product, seed by seed, each stratum in turn.

    Raises:
        UnknownNameError: an extra argument is not `product`, or the product is unknown.
    """
    given = dict(extra_reset_arguments or {})
    for name in given:
        require_name("argument of every reset", name, ("product",))
    names = [require_name("product", given["product"], PRODUCTS)] if given else list(PRODUCTS)
    for seed in seeds:
        for level in levels:
            counts = ALL_LEVELS[level].root_counts
            for number, name in enumerate(names):
                yield EpisodeConfig(seed, level, name, counts[(seed + number) % len(counts)])
