"""View of an episode for tools: its data, play rules and public configuration."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from metric_tracker_rl.engine.configuration.modes import get_mode_texts
from metric_tracker_rl.engine.configuration.play_rules import DEFAULT_PLAY_RULES, PlayRules
from metric_tracker_rl.engine.definitions.funnel import Funnel
from metric_tracker_rl.engine.definitions.levels import FunnelLevel
from metric_tracker_rl.engine.definitions.names import BaselineKind, ScanContent
from metric_tracker_rl.engine.definitions.rungs import RUNG_LEVELS
from metric_tracker_rl.engine.definitions.severity import severity_bounds_to_lists
from metric_tracker_rl.engine.definitions.thresholds import get_thresholds_by_public_name
from metric_tracker_rl.engine.definitions.versions import GENERATOR_VERSION, GRADER_VERSION
from metric_tracker_rl.engine.episode.episode import FunnelEpisode
from metric_tracker_rl.engine.episode.series_policy_numbers import build_series_policy_numbers
from metric_tracker_rl.engine.reporting_policy.baselines import get_weekday_name_of_date
from metric_tracker_rl.engine.reporting_policy.policy_text import format_policy_text
from metric_tracker_rl.products.product import PRODUCT_FORMAT
from metric_tracker_rl.products.twin import TWIN_VERSION

HIDDEN_VALUE = "hidden"
"""Placeholder for the family, density and count in a public configuration that hides them."""

POLICY_HEADING = "Reporting policy:"
DRAWN_POLICY_HEADING = "Reporting policy, drawn for this episode:"
"""Headings of the policy's text in the instruction."""


class EpisodeView:
    """An episode together with its play rules, as passed to the analysis tools.

    Attributes:
        episode: the episode's data.
        rules: play rules.
        is_split_task: whether the episode is a task of a split.
        hides_counts: whether the public configuration hides the scenario family, the density and
            the number of anomalies. It does so in tasks of a split, on curriculum levels and with
            raw disclosure.
        has_drawn_policy: whether the episode's reporting policy is drawn at random.
        policy_numbers: parameters of the episode's reporting policy, as the public configuration
            shows them.
        drawn_policy_numbers: parameters that the public configuration shows only if the policy is
            drawn; empty if it is not drawn.
        drawn_terms: terms of the reporting policy that are drawn on the episode's level, with the
            names of the public configuration; empty if the level has none. In the lean profile,
            only the tool `overview` states them.
        objective: description of the player's task.
    """

    def __init__(
        self,
        episode: FunnelEpisode,
        rules: PlayRules = DEFAULT_PLAY_RULES,
        *,
        is_split_task: bool = False,
    ) -> None:
        level = episode.config.level_with_policy_parameters
        self.episode = episode
        self.rules = rules
        self.is_split_task = is_split_task
        self.hides_counts = (
            is_split_task or rules.has_raw_disclosure or episode.config.difficulty in RUNG_LEVELS
        )
        self.has_drawn_policy = level.has_drawn_policy
        self.drawn_policy_numbers = (
            _get_public_drawn_policy_parameters(episode) if level.has_drawn_policy else {}
        )
        if episode.config.product is None:
            self.policy_numbers = {
                "thresholds": get_thresholds_by_public_name(level),
                "severity_bands": severity_bounds_to_lists(level.severity_bounds_by_entity_type),
                **self.drawn_policy_numbers,
            }
        else:
            self.policy_numbers = build_series_policy_numbers(episode.series, episode.dates[0])
        self.drawn_terms = _get_public_drawn_terms(level) if level.has_drawn_terms else {}
        has_hours = episode.config.funnel_with_policy_daytime.hours_per_day > 1
        self.objective = get_mode_texts(rules.mode, has_hours=has_hours).objective

    @property
    def product_funnel(self) -> Funnel | None:
        """Funnel of the episode's product; None if the episode uses the built-in funnel."""
        config = self.episode.config
        return None if config.product is None else config.funnel_with_policy_daytime

    @property
    def names_and_thresholds_of_product(self) -> dict[str, Any]:
        """Policy parameters that the overview of the lean profile shows for a product.

        The thresholds by series are omitted, because the overview lists them beside the medians. If
        the episode uses the built-in funnel, there are no parameters.
        """
        if self.episode.config.product is None:
            return {}
        numbers = dict(self.policy_numbers)
        del numbers["thresholds"]  # the overview lists them beside the medians
        return numbers

    @cached_property
    def public_config(self) -> dict[str, Any]:
        """Configuration fields that the player may see.

        The seed is omitted, because a player who can run code on the same machine could use it to
        generate the episode and read the expected report.
        """
        config, level = self.episode.config, self.episode.config.level_with_policy_parameters
        count = len(self.episode.expected_rows)
        public: dict[str, Any] = {
            "difficulty": config.difficulty,
            "scenario_family": HIDDEN_VALUE if self.hides_counts else config.scenario_family,
            "anomaly_density": HIDDEN_VALUE if self.hides_counts else config.anomaly_density,
            "anomaly_count": HIDDEN_VALUE if self.hides_counts else count,
            "funnel": config.funnel_with_policy_daytime.name,
            "days": len(self.episode.dates),
            "start_date": self.episode.dates[0],
            "end_date": self.episode.dates[-1],
        }
        if self.has_drawn_policy:
            public["policy"] = config.policy
        public |= self.policy_numbers
        if level.has_drawn_terms:
            public["drawn_terms"] = True
            public |= {} if self.rules.has_lean_profile else self.drawn_terms
        if level.scan_lists != ScanContent.FLAGGED and self.rules.has_lean_profile:
            public["scan_lists"] = level.scan_lists.value
            del public["thresholds"]  # only the overview states them
        if level.decoys:
            public["calendar"] = True
        public |= self.rules.rules_by_name_without_default_modes
        public |= {
            "generator_version": GENERATOR_VERSION,
            "policy_version": level.policy_version_with_suffixes,
            "grader_version": GRADER_VERSION,
        }
        if config.product is not None:
            public |= {
                "product": config.product.name,
                "product_digest": config.product.digest,
                "product_format": str(PRODUCT_FORMAT),
                "twin_version": TWIN_VERSION,
            }
        return public

    @property
    def reporting_policy_text(self) -> str:
        """Text of the reporting policy with this episode's thresholds and severity bounds."""
        return self._format_policy_text(is_for_report_of_ids=False)

    @property
    def objective_and_policy_text(self) -> str:
        """Text that tells the player the objective and the reporting policy.

        If reports are lists of ids, the text contains neither thresholds nor formulas.
        """
        is_report_of_ids = self.rules.has_lean_profile and not self.rules.has_raw_disclosure
        heading = DRAWN_POLICY_HEADING if self.has_drawn_policy else POLICY_HEADING
        policy_text = self._format_policy_text(is_for_report_of_ids=is_report_of_ids)
        return f"{self.objective} {heading} {policy_text}"

    def _format_policy_text(self, *, is_for_report_of_ids: bool) -> str:
        config = self.episode.config
        calendar_tool = "calendar" if self.rules.has_lean_profile else "list_calendar"
        return format_policy_text(
            config.funnel_with_policy_daytime,
            config.level_with_policy_parameters,
            calendar_tool=calendar_tool,
            is_for_report_of_ids=is_for_report_of_ids,
        )


def _get_public_drawn_terms(level: FunnelLevel) -> dict[str, Any]:
    return {"leak_reports": level.leak_reports.value, "suspended_rule": level.suspended_rule}


def _get_public_drawn_policy_parameters(episode: FunnelEpisode) -> dict[str, Any]:
    level, daytime = (
        episode.config.level_with_policy_parameters,
        episode.config.funnel_with_policy_daytime.daytime_hours,
    )
    numbers: dict[str, Any] = {
        "daytime_hours": [daytime.start, daytime.stop - 1],
        "baseline": level.baseline.value,
        "leak_reports": level.leak_reports.value,
    }
    if level.baseline == BaselineKind.SAME_WEEKDAY:
        numbers["first_weekday"] = get_weekday_name_of_date(episode.dates[0])
    return numbers
