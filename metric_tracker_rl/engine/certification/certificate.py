"""Certificates, which record the check results of generated episodes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

from metric_tracker_rl.engine.configuration.episode_config import EpisodeConfig
from metric_tracker_rl.engine.definitions.rungs import EVERY_LEVEL
from metric_tracker_rl.products.product_registry import find_product
from openenv_kit.trust.certify import CertificateTable


@dataclass(frozen=True)
class RowMargin:
    """Deviation of an expected report row in comparison with its reporting threshold.

    Attributes:
        row: key of the row, such as `2024-03-02|event_count|app_opens`.
        effect: size of the deviation. For counts and rates, it is relative to the baseline. For the
            daytime share, it is the absolute difference. For a count that exceeds the previous
            stage's, it is the number of excess events.
        threshold: reporting threshold; 0 for a count that exceeds the previous stage's.
        margin: effect divided by threshold; None if the threshold is 0.
    """

    row: str
    effect: float
    threshold: float
    margin: float | None


@dataclass(frozen=True)
class FunnelCertificate:
    """Results of all checks of one episode.

    Attributes:
        config: configuration of the episode.
        score: lowest score of the reference policy in any play mode.
        steps: largest number of steps that the reference policy took in any play mode.
        draws: number of attempts that the generator needed to generate the episode.
        guard_violations: number of deviations that are too close to their threshold, plus the
            number of expected rows that are too close to a severity bound.
        unique: whether the expected rows are exactly those of the planned anomalies, and whether
            every tested report with a missing, additional or repeated row or a wrong field scores
            less than 1.0.
        counterfactual: number of planned anomalies for which removing only that anomaly also
            removes its report row. If the day has no other anomaly, removing it must also bring all
            deviations of the day below their thresholds.
        rows: margin of each expected row.
    """

    config: EpisodeConfig
    score: float
    steps: int
    draws: int
    guard_violations: int
    unique: bool
    counterfactual: int
    rows: tuple[RowMargin, ...]

    @property
    def holds(self) -> bool:
        """Whether the episode passes every check of the certificate."""
        is_solvable = self.score == 1.0
        is_clear = self.guard_violations == 0
        is_caused = self.counterfactual == len(self.rows)
        return is_solvable and is_clear and self.unique and is_caused

    @property
    def smallest_row_margin(self) -> float:
        """Smallest margin of the expected rows, or infinity if no row has a margin."""
        margins = [row.margin for row in self.rows if row.margin is not None]
        return min(margins, default=float("inf"))

    def as_dict(self) -> dict[str, Any]:
        """Return the certificate as a JSON-serializable dictionary.

        If the episode has a product, the configuration contains `product`, a mapping with the
        structure of the product's file.
        """
        product = self.config.product
        # `asdict` would copy the product's fields instead of the structure of its file.
        fields = asdict(replace(self, config=replace(self.config, product=None)))
        config = {name: value for name, value in fields["config"].items() if name != "product"}
        if product is not None:
            config["product"] = product.to_mapping()
        return {**fields, "config": config}


class _LevelAndFamily(NamedTuple):
    level: str
    family: str


class CertificateTotals(NamedTuple):
    """Totals and means of several certificates.

    Attributes:
        undone_rows: number of report rows that are no longer expected if only their anomaly is
            removed.
        expected_rows: number of expected rows.
        smallest_margin: smallest margin of any row, in multiples of its threshold.
        mean_draws: mean number of attempts that the generator needed for an episode.
    """

    undone_rows: int
    expected_rows: int
    smallest_margin: float
    mean_draws: float


def certificate_from_dict(certificate_fields: dict[str, Any]) -> FunnelCertificate:
    """Rebuild a certificate from the result of `FunnelCertificate.as_dict`.

    Raises:
        KeyError, TypeError: a field is missing, unknown or has the wrong type.
        ProductRefused: the product is not valid.
    """
    config_fields = certificate_fields["config"]
    product_fields = config_fields.get("product")
    product = None if product_fields is None else find_product(product_fields)
    config = EpisodeConfig(**{**config_fields, "anomalies": (), "product": product})
    rows = tuple(RowMargin(**row) for row in certificate_fields["rows"])
    return FunnelCertificate(**{**certificate_fields, "config": config, "rows": rows})


def tabulate_certificates(certificates: Sequence[FunnelCertificate]) -> CertificateTable:
    """Return a table of totals with a row for each level and scenario family."""
    groups: dict[_LevelAndFamily, list[FunnelCertificate]] = defaultdict(list)
    for certificate in certificates:
        config = certificate.config
        groups[_LevelAndFamily(config.difficulty, config.scenario_family)].append(certificate)
    level_names = list(EVERY_LEVEL)
    rows: list[Sequence[str]] = []
    for key in sorted(groups, key=lambda key: (level_names.index(key.level), key.family)):
        group = groups[key]
        totals = compute_certificate_totals(group)
        rows.append(
            (
                key.level,
                key.family,
                str(len(group)),
                str(sum(certificate.score == 1.0 for certificate in group)),
                str(sum(certificate.unique for certificate in group)),
                str(sum(certificate.guard_violations for certificate in group)),
                f"{totals.undone_rows}/{totals.expected_rows}",
                f"{totals.smallest_margin:.3f}",
                f"{totals.mean_draws:.3f}",
            )
        )
    titles = ("level", "family", "episodes", "1.0", "unique", "guard", "undone", "margin", "draws")
    return CertificateTable(titles, rows)


def summarize_certificates(certificates: Sequence[FunnelCertificate]) -> str:
    """Return the certificates' totals and means as one line of text with no final period."""
    totals = compute_certificate_totals(certificates)
    policies = count_distinct_drawn_policies_ignoring_wording(certificates)
    drawn = f"; {policies} reporting policies, not counting wordings" if policies else ""
    return (
        f"{totals.undone_rows} of {totals.expected_rows} rows disappear without their anomaly; "
        f"smallest margin {totals.smallest_margin:.3f} x threshold; "
        f"mean draws {totals.mean_draws:.4f}{drawn}"
    )


def count_distinct_drawn_policies_ignoring_wording(
    certificates: Sequence[FunnelCertificate],
) -> int:
    """Count the different reporting policies of the episodes whose policy is drawn at random.

    Policies that differ only in the wording of their text count as one.
    """
    configs = [
        each.config
        for each in certificates
        if each.config.level_with_policy_parameters.has_drawn_policy
    ]
    return len(
        {
            (
                replace(each.level_with_policy_parameters, wording=0),
                each.funnel_with_policy_daytime.daytime,
            )
            for each in configs
        }
    )


def compute_certificate_totals(certificates: Sequence[FunnelCertificate]) -> CertificateTotals:
    """Return the totals and means of one or more certificates."""
    return CertificateTotals(
        undone_rows=sum(each.counterfactual for each in certificates),
        expected_rows=sum(len(each.rows) for each in certificates),
        smallest_margin=min(each.smallest_row_margin for each in certificates),
        mean_draws=sum(each.draws for each in certificates) / len(certificates),
    )
