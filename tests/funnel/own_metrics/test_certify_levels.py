"""Levels of a new product are on if families have room and 95 of 100 seeds are certified."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from metric_tracker_rl.own_metrics import certify_levels
from metric_tracker_rl.own_metrics.certify_levels import SeedResult, add_certified_levels
from metric_tracker_rl.products.product import Product
from openenv_kit.errors import GenerationError
from support.small_products import build_small_product, fit_small_product


def certify_all(product: Product, level: str, seed: int) -> SeedResult:
    """Stand-in that certifies every seed."""
    return SeedResult(seed)


def reject_seeds_of_hard(count: int) -> Callable[[Product, str, int], SeedResult]:
    """Return a stand-in that rejects the first seeds of the level hard."""

    def certify(product: Product, level: str, seed: int) -> SeedResult:
        is_rejected = level == "hard" and seed < count
        return SeedResult(seed, "the report is not unique" if is_rejected else "")

    return certify


@pytest.fixture(autouse=True)
def accept_families_with_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip planning, which takes seconds; it has tests of its own."""
    monkeypatch.setattr(
        certify_levels,
        "list_plannable_families",
        lambda product, level: product.levels[level].families,
    )


def test_levels_are_on_if_all_seeds_are_certified() -> None:
    product = add_certified_levels(fit_small_product(), certify=certify_all)
    assert list(product.levels) == ["easy", "medium", "hard", "expert"]
    for level in product.levels.values():
        assert level.is_on
        assert level.certified == 100
        assert level.reason == ""


def test_level_with_five_rejected_seeds_is_on() -> None:
    product = add_certified_levels(fit_small_product(), certify=reject_seeds_of_hard(5))
    assert product.levels["hard"].is_on
    assert product.levels["hard"].certified == 95


def test_level_with_six_rejected_seeds_is_off_with_its_first_problem() -> None:
    product = add_certified_levels(fit_small_product(), certify=reject_seeds_of_hard(6))
    assert not product.levels["hard"].is_on
    assert product.levels["hard"].reason == (
        "6 of the first 6 seeds could not be certified; seed 0: the report is not unique"
    )
    assert product.levels["easy"].is_on


def test_other_levels_are_certified_again_after_a_level_failed() -> None:
    digests: dict[str, set[str]] = {"easy": set(), "hard": set()}
    reject = reject_seeds_of_hard(6)

    def certify(product: Product, level: str, seed: int) -> SeedResult:
        digests.setdefault(level, set()).add(product.digest)
        return reject(product, level, seed)

    product = add_certified_levels(fit_small_product(), certify=certify)
    assert product.digest in digests["easy"]
    assert product.digest not in digests["hard"]


def test_level_with_one_family_is_off_and_not_certified(monkeypatch: pytest.MonkeyPatch) -> None:
    certified_levels = set()

    def certify(product: Product, level: str, seed: int) -> SeedResult:
        certified_levels.add(level)
        return SeedResult(seed)

    def list_families(product: Product, level: str) -> tuple[str, ...]:
        families = product.levels[level].families
        return families[:1] if level == "hard" else families

    monkeypatch.setattr(certify_levels, "list_plannable_families", list_families)
    product = add_certified_levels(fit_small_product(), certify=certify)
    assert not product.levels["hard"].is_on
    assert product.levels["hard"].certified == 0
    assert product.levels["hard"].reason == certify_levels.TOO_CLOSE_REASON
    assert certified_levels == {"easy", "medium", "expert"}


def test_progress_sees_every_seed() -> None:
    seen: list[object] = []

    def show_progress(results: Iterator[object], count: int) -> Iterator[object]:
        assert count == 400
        for result in results:
            seen.append(result)
            yield result

    add_certified_levels(fit_small_product(), show_progress=show_progress, certify=certify_all)
    assert len(seen) == 400


def test_processes_give_the_same_levels() -> None:
    product = fit_small_product()
    alone = add_certified_levels(product, worker_count=1, certify=certify_all)
    assert add_certified_levels(product, worker_count=2, certify=certify_all) == alone


def test_seed_without_an_episode_is_not_certified(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> None:
        raise GenerationError("none")

    monkeypatch.setattr(certify_levels, "certify_episode", refuse)
    result = certify_levels.certify_seed(build_small_product(), "easy", 3)
    assert result == SeedResult(3, "no episode could be generated")
    assert not result.is_certified


@pytest.mark.parametrize("seed", [0, 4])
def test_seed_of_a_simulated_product_is_certified(seed: int) -> None:
    assert certify_levels.certify_seed(build_small_product(), "easy", seed) == SeedResult(seed)
