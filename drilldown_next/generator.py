"""Generates episodes: draws counts, plants losses and accepts what the definition finds again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from drilldown_next.config import EpisodeConfig
from drilldown_next.definition import (
    LOOSE_LIMITS,
    TIGHT_LIMITS,
    FoundRoot,
    find_eligible_segments,
    find_roots,
    split_by_step,
)
from drilldown_next.planting import Planner
from drilldown_next.sampling import Draw, Loss, draw_episode
from drilldown_next.segments import Counts, SegmentDays, build_segment_table
from openenv_kit.bitstream import BitStream
from openenv_kit.errors import GenerationError

MAX_ATTEMPTS = 400
"""Number of draws after which a configuration is given up."""


@dataclass(frozen=True)
class GeneratedCounts:
    """Accepted counts with what is planted in them.

    Attributes:
        draw: the random numbers.
        counts: people by leaf, stage and day.
        announced: losses that the calendar announces.
        planted: losses to find.
        attempt: number of draws that were rejected before.
        stream: source of the episode's further random numbers.
    """

    draw: Draw
    counts: Counts
    announced: tuple[Loss, ...]
    planted: tuple[Loss, ...]
    attempt: int
    stream: BitStream

    @property
    def calendar(self) -> list[SegmentDays]:
        """Step, segment and days of the announced losses."""
        return [loss.place for loss in self.announced]

    @property
    def roots(self) -> list[SegmentDays]:
        """Step, segment and days of the planted losses, in this order."""
        return sorted(loss.place for loss in self.planted)


def generate_counts(config: EpisodeConfig) -> GeneratedCounts:
    """Return the first accepted draw of a configuration.

    Raises:
        GenerationError: no draw was accepted.
    """
    for attempt in range(MAX_ATTEMPTS):
        generated = draw_and_plant(config, attempt)
        if generated is not None and is_accepted(generated):
            return generated
    raise GenerationError(
        f"No episode of {config.product} on {config.difficulty} was accepted in {MAX_ATTEMPTS} "
        "draws of this seed; allowed: another seed."
    )


def draw_and_plant(config: EpisodeConfig, attempt: int) -> GeneratedCounts | None:
    """Draw counts and plan the losses; None if the draw has no place for them."""
    level, product = config.level, config.adapted_product
    stream = BitStream(config.identity, attempt)
    draw = draw_episode(product, level.noise, level.visits, level.days, stream)
    clean = draw.sample_counts()
    table = build_segment_table(product.shape)
    steps = split_by_step(clean, table)
    planner = Planner(level, table, find_eligible_segments(clean, table), steps, stream)
    announced = planner.plan_losses(level.calendar_size)
    if announced is None:
        return None
    for loss in announced:
        steps[loss.place.step] = steps[loss.place.step].without([loss.place])
    planner = Planner(level, table, planner.eligible, steps, stream)
    planted = planner.plan_losses(config.root_count, announced)
    if planted is None:
        return None
    counts = draw.sample_counts([*announced, *planted])
    return GeneratedCounts(draw, counts, tuple(announced), tuple(planted), attempt, stream)


def is_accepted(generated: GeneratedCounts) -> bool:
    """Return whether the definition finds exactly what is planted, clearly within all limits.

    Nothing may be found without the planted losses, and the answer must be the same under the
    loose, the nominal and the tight limits. One search with loose limits shows that: each root also
    reaches the tight ones.
    """
    found = _find(generated, generated.counts)
    is_clear = all(root.counts_within(TIGHT_LIMITS) and not root.has_rival for root in found)
    if not is_clear or sorted(root.place for root in found) != generated.roots:
        return False
    if not generated.planted:
        return True
    return not _find(generated, generated.draw.sample_counts(generated.announced))


def _find(generated: GeneratedCounts, counts: Counts) -> Sequence[FoundRoot]:
    shape = generated.draw.product.shape
    return find_roots(counts, shape, generated.calendar, LOOSE_LIMITS)
