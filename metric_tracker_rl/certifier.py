"""Certificates of this environment, as the kit's runner makes and shows them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from metric_tracker_rl.engine.certificate import (
    Certificate,
    certificate_from,
    certify_one,
    grid,
)
from metric_tracker_rl.engine.config import EpisodeConfig
from metric_tracker_rl.engine.levels import LEVELS


class MetricTrackerCertifier:
    """See `openenv_kit.trust.certify.Certifier`."""

    levels = tuple(LEVELS)

    def units(self, seeds: range, levels: Sequence[str]) -> list[EpisodeConfig]:
        return list(grid(seeds, difficulties=levels))

    def identity(self, unit: EpisodeConfig) -> str:
        return unit.identity

    def certify(self, unit: EpisodeConfig) -> Certificate:
        return certify_one(unit)

    def read(self, told: dict[str, Any]) -> Certificate:
        return certificate_from(told)

    def table(
        self, certificates: Sequence[Certificate]
    ) -> tuple[Sequence[str], list[Sequence[str]]]:
        groups: dict[tuple[int, str], list[Certificate]] = defaultdict(list)
        for each in certificates:
            place = self.levels.index(each.config.difficulty)
            groups[place, each.config.scenario_family].append(each)
        titles = ("level", "family", "episodes", "1.0", "unique", "guard", "undone", "margin")
        rows = [
            (
                self.levels[place],
                family,
                str(len(group)),
                str(sum(each.score == 1.0 for each in group)),
                str(sum(each.unique for each in group)),
                str(sum(each.guard_violations for each in group)),
                f"{_undone(group)}/{_rows(group)}",
                f"{min(each.smallest_margin for each in group):.3f}",
                f"{_draws(group):.3f}",
            )
            for (place, family), group in sorted(groups.items())
        ]
        return (*titles, "draws"), list(rows)

    def summary(self, certificates: Sequence[Certificate]) -> str:
        smallest = min(each.smallest_margin for each in certificates)
        return (
            f"{_undone(certificates)} of {_rows(certificates)} rows undone with their cause; "
            f"smallest margin {smallest:.3f} x threshold; mean draws {_draws(certificates):.4f}"
        )


def _undone(certificates: Sequence[Certificate]) -> int:
    return sum(each.counterfactual for each in certificates)


def _rows(certificates: Sequence[Certificate]) -> int:
    return sum(len(each.rows) for each in certificates)


def _draws(certificates: Sequence[Certificate]) -> float:
    return sum(each.draws for each in certificates) / len(certificates)
