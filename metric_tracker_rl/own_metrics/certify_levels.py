"""Certifies episodes of a new product to decide which levels are available."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Protocol

from metric_tracker_rl.engine.certification.certify import certify_episode
from metric_tracker_rl.engine.certification.plannable_families import list_plannable_families
from metric_tracker_rl.engine.configuration.episode_config import EpisodeConfig
from metric_tracker_rl.engine.definitions.anomaly_types import MIXED
from metric_tracker_rl.products.product import Product, ProductLevel
from metric_tracker_rl.products.room import (
    MIN_FAMILIES,
    explain_missing_families,
    list_possible_families_by_level,
)
from metric_tracker_rl.products.thresholds import LEVEL_FACTORS
from openenv_kit.errors import GenerationError
from openenv_kit.own_data.support import ShowProgress

CERTIFIED_SEEDS = range(100)
MIN_CERTIFIED = 95
"""Smallest number of certified seeds that a level needs to be on."""
MAX_ANOMALIES = 5
"""Largest number of anomalies in the certified episodes; the number cycles from 0 to this value."""
TOO_CLOSE_REASON = "a change that exceeds one threshold brings other series close to theirs"
MAX_REASON_CHARACTERS = 200
"""Maximum length of a reason in a product file."""


@dataclass(frozen=True)
class SeedResult:
    """Result of certifying one episode.

    Attributes:
        seed: seed of the episode.
        problem: why the episode was not certified; empty if it was certified.
    """

    seed: int
    problem: str = ""

    @property
    def is_certified(self) -> bool:
        """Whether the episode was certified."""
        return not self.problem


class CertifySeed(Protocol):
    """Function that certifies one episode of a product."""

    def __call__(self, product: Product, level: str, seed: int) -> SeedResult:
        """Certify the episode that a seed produces on a difficulty level, and return the result."""


def certify_seed(product: Product, level: str, seed: int) -> SeedResult:
    """Generate the episode of a seed and check whether it can be certified.

    An episode is certified if it passes every check of its certificate. Among other things, the
    reference policy must score 1, and only one report may be perfect. The number of anomalies
    depends on the seed.
    """
    config = EpisodeConfig(
        seed=seed, scenario_family=MIXED, difficulty=level, anomaly_count=0, product=product
    )
    max_anomalies = min(MAX_ANOMALIES, config.level_with_policy_parameters.max_anomalies)
    config = replace(config, anomaly_count=seed % (max_anomalies + 1))
    try:
        certificate = certify_episode(config)
    except GenerationError:
        return SeedResult(seed, "no episode could be generated")
    if certificate.holds:
        return SeedResult(seed)
    if certificate.score < 1.0:
        return SeedResult(seed, f"the reference scored {certificate.score:.2f}")
    return SeedResult(seed, "the report is not unique, or a value is close to a threshold")


def add_certified_levels(
    product: Product,
    worker_count: int = 1,
    show_progress: ShowProgress | None = None,
    certify: CertifySeed = certify_seed,
) -> Product:
    """Certify the levels of a product and return a product that contains the results.

    A difficulty level becomes available if at least two types of anomaly are possible on it and
    at least 95 of 100 seeds are certified. An episode depends on the product's digest, which
    contains the available levels. After a level has failed, the remaining levels are therefore
    certified again.

    Args:
        product: product with thresholds.
        worker_count: number of processes; with 1, no other process is started.
        show_progress: function that wraps the iterator over all results to display the progress.
        certify: function that certifies one seed. It must be picklable.
    """
    levels = find_playable_levels(product)
    while True:
        candidate = replace(product, levels=levels)
        names = [name for name, level in levels.items() if level.is_on]
        results = _certify_all_levels(candidate, names, worker_count, show_progress, certify)
        failed = {name: results[name] for name in names if not _has_passed(results[name])}
        levels = {
            name: replace(level, certified=sum(each.is_certified for each in results.get(name, ())))
            for name, level in levels.items()
        }
        for name, seed_results in failed.items():
            levels[name] = replace(
                levels[name], is_on=False, reason=_shorten(_explain_failure(seed_results))
            )
        if not failed:
            return replace(product, levels=levels)


def find_playable_levels(product: Product) -> dict[str, ProductLevel]:
    """Return the product's difficulty levels by name, as they are before certification.

    A level is marked as available if at least two types of anomaly can be planned in nearly every
    episode. Otherwise, it contains the reason why it is not.

    Args:
        product: product with thresholds.
    """
    families = list_possible_families_by_level(product)
    with_room = {
        name: _build_level(families[name], explain_missing_families(product, factor))
        for name, factor in LEVEL_FACTORS.items()
    }
    candidate = replace(product, levels=with_room)
    return {
        name: _build_level(list_plannable_families(candidate, name), TOO_CLOSE_REASON)
        if level.is_on
        else level
        for name, level in with_room.items()
    }


def _build_level(families: tuple[str, ...], reason_if_off: str) -> ProductLevel:
    is_on = len(families) >= MIN_FAMILIES
    return ProductLevel(
        is_on=is_on,
        families=families,
        certified=0,
        reason="" if is_on else _shorten(reason_if_off),
    )


def _certify_all_levels(
    product: Product,
    level_names: Sequence[str],
    worker_count: int,
    show_progress: ShowProgress | None,
    certify: CertifySeed,
) -> Mapping[str, list[SeedResult]]:
    """Certify the seeds of each level, and return the results by level name.

    A level's remaining seeds are skipped as soon as so many have failed that it cannot pass.
    """
    results: dict[str, list[SeedResult]] = {name: [] for name in level_names}

    def iter_results() -> Iterator[SeedResult]:
        with _open_seed_iterator(product, worker_count, certify) as iter_level:
            for name in level_names:
                for result in iter_level(name):
                    results[name].append(result)
                    yield result
                    if _has_failed(results[name]):
                        break

    count = len(level_names) * len(CERTIFIED_SEEDS)
    progress = iter_results() if show_progress is None else show_progress(iter_results(), count)
    for _ in progress:
        pass
    return results


class _IterLevel(Protocol):
    def __call__(self, level: str) -> Iterator[SeedResult]: ...


@contextmanager
def _open_seed_iterator(
    product: Product, worker_count: int, certify: CertifySeed
) -> Iterator[_IterLevel]:
    """Provide a function that certifies the seeds of a level.

    The function uses a process pool if `worker_count` is larger than 1.
    """
    if worker_count == 1:
        yield lambda level: (certify(product, level, seed) for seed in CERTIFIED_SEEDS)
        return
    with ProcessPoolExecutor(worker_count) as pool:

        def iter_level(level: str) -> Iterator[SeedResult]:
            futures: list[Future[SeedResult]] = [
                pool.submit(certify, product, level, seed) for seed in CERTIFIED_SEEDS
            ]
            try:
                for future in futures:
                    yield future.result()
            finally:
                for future in futures:
                    future.cancel()

        yield iter_level


def _has_passed(results: Sequence[SeedResult]) -> bool:
    return sum(result.is_certified for result in results) >= MIN_CERTIFIED


def _has_failed(results: Sequence[SeedResult]) -> bool:
    failures = sum(not result.is_certified for result in results)
    return failures > len(CERTIFIED_SEEDS) - MIN_CERTIFIED


def _explain_failure(results: Sequence[SeedResult]) -> str:
    failures = [result for result in results if not result.is_certified]
    first = failures[0]
    return (
        f"{len(failures)} of the first {len(results)} seeds could not be certified; "
        f"seed {first.seed}: {first.problem}"
    )


def _shorten(reason: str) -> str:
    if len(reason) <= MAX_REASON_CHARACTERS:
        return reason
    return reason[: MAX_REASON_CHARACTERS - 1] + "…"
