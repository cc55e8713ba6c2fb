"""Rules of play, and what a player is told about an episode before playing it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Any

from metric_tracker_rl.engine.configuration.reset_arguments import PLAY_RULE_ARGUMENTS
from metric_tracker_rl.engine.definitions.funnel import Funnel
from metric_tracker_rl.engine.definitions.levels import FunnelLevel
from metric_tracker_rl.engine.definitions.names import (
    CONVERSION_RATE,
    DISCLOSURES,
    EVENT_COUNT,
    FUNNEL_STEP,
    GRADED,
    GUIDED,
    HOURLY_MIX,
    LEAN,
    PROFILES,
    RAW,
    REWARDS,
    SAME_WEEKDAY,
    STANDARD,
    VARIED,
    WEEKDAYS,
)
from metric_tracker_rl.engine.definitions.versions import GENERATOR_VERSION, GRADER_VERSION
from metric_tracker_rl.engine.episode.episode import FunnelEpisode
from metric_tracker_rl.engine.reporting_policy.labels import format_policy_text
from openenv_kit.errors import InvalidValueError, require_integer, require_name

DEFAULT_MAX_STEPS = 64
MAX_STEPS_LIMIT = 500
MAX_SUBMISSIONS_LIMIT = 5
PRACTICE_COST = 0.1
"""Share of the score that each submission before the last one costs."""

HIDDEN_VALUE = "hidden"
"""What is said in the place of family, density and count, in splits and where nothing is told."""

FULL_FEEDBACK = "full"
SCORE_FEEDBACK = "score"
FEEDBACK_MODES = (FULL_FEEDBACK, SCORE_FEEDBACK)
"""What the end tells: everything about the submitted rows, or the score and nothing else."""

PUBLIC_THRESHOLD_NAMES = {
    EVENT_COUNT: "count_relative",
    CONVERSION_RATE: "rate_relative",
    FUNNEL_STEP: "funnel_break_relative_drop",
    HOURLY_MIX: "daytime_share_absolute",
}
"""What agents are told each entity type's threshold as."""

DEFAULT_MODES = {"profile": STANDARD, "disclosure": GUIDED, "reward": GRADED}
"""Reset arguments that choose a mode of play, with the usual one; see `PlayRules`."""
ALLOWED_WITH_SPLIT_TEXT = (
    f"nothing beside split and index but policy, {', '.join(PLAY_RULE_ARGUMENTS)}"
)
"""What may be chosen where a split names the episode."""

DEFAULT_OBJECTIVE = (
    "Find every anomaly of the episode with the analysis methods and submit one report that "
    "holds exactly the rows the reporting policy asks for."
)
OBJECTIVES_BY_MODE = {
    (STANDARD, GUIDED): DEFAULT_OBJECTIVE,
    (LEAN, GUIDED): "Find every anomaly of the episode among what scan lists, and submit one "
    "report that holds exactly the ids of the rows the reporting policy asks for.",
    (STANDARD, RAW): "Find every anomaly of the episode in the values that the analysis methods "
    "show, none of which says what is flagged, and submit one report that holds exactly the rows "
    "the reporting policy asks for.",
    (LEAN, RAW): "Find every anomaly of the episode in the values that day and hours show, and "
    "submit one report that holds exactly the rows the reporting policy asks for.",
}
"""What the agent is to do, by profile and disclosure; an opening is told by its first words."""
DRAWN_POLICY_HEADING = "Reporting policy of this episode, which may differ from that of others:"
"""What stands before a policy that was drawn."""


@dataclass(frozen=True)
class PlayRules:
    """Limits of one play of an episode; no part of its data.

    Attributes:
        max_steps: 1 to 500; one step more ends the episode with score 0.
        max_submissions: 1 to 5; only the last one, or a perfect one, is scored.
        feedback: "full", or "score" for an end that tells the score and nothing else; then
            there is no practice either, whose counts would tell more.
        profile: "standard" or "lean": which tools the episode offers.
        disclosure: "guided", or "raw" for tools that tell values, medians and hours only; then
            family, density and count are hidden too.
        reward: "graded", "exact" or "key_f1": what the end pays; there is practice with "graded"
            alone.
    """

    max_steps: int = DEFAULT_MAX_STEPS
    max_submissions: int = 1
    feedback: str = FULL_FEEDBACK
    profile: str = STANDARD
    disclosure: str = GUIDED
    reward: str = GRADED

    def __post_init__(self) -> None:
        require_integer("max_steps", self.max_steps, 1, MAX_STEPS_LIMIT)
        require_integer("max_submissions", self.max_submissions, 1, MAX_SUBMISSIONS_LIMIT)
        require_name("feedback", self.feedback, FEEDBACK_MODES)
        require_name("profile", self.profile, PROFILES)
        require_name("disclosure", self.disclosure, DISCLOSURES)
        require_name("reward", self.reward, REWARDS)
        if self.feedback == SCORE_FEEDBACK and self.max_submissions > 1:
            allowed = f"1 with feedback {SCORE_FEEDBACK!r}"
            raise InvalidValueError("max_submissions", self.max_submissions, allowed)
        if self.reward != GRADED and self.max_submissions > 1:
            allowed = f"1 with reward {self.reward!r}"
            raise InvalidValueError("max_submissions", self.max_submissions, allowed)

    @property
    def is_lean(self) -> bool:
        """Whether the lean profile is played."""
        return self.profile == LEAN

    @property
    def is_raw(self) -> bool:
        """Whether the tools tell values, medians and hours only."""
        return self.disclosure == RAW

    @cached_property
    def rules_without_default_modes(self) -> dict[str, Any]:
        """The rules by name; a mode of play only where it is not the usual one."""
        rules = {name: getattr(self, name) for name in PLAY_RULE_ARGUMENTS}
        return {name: rule for name, rule in rules.items() if DEFAULT_MODES.get(name) != rule}


DEFAULT_PLAY_RULES = PlayRules()


def resolve_play_rules(requested_rules: Mapping[str, Any], *, is_sealed: bool) -> PlayRules:
    """The rules that a reset asks for; where it asks for nothing, the usual ones.

    Args:
        requested_rules: rules by name; None for the usual one.
        is_sealed: whether the episode is of a sealed split.

    Raises:
        UnknownNameError, InvalidValueError: see `PlayRules`; or a sealed task with other feedback
            than its score.
    """
    given = {name: value for name, value in requested_rules.items() if value is not None}
    usual = SCORE_FEEDBACK if is_sealed else FULL_FEEDBACK
    rules = PlayRules(**{"feedback": usual, **given})
    if is_sealed and rules.feedback != SCORE_FEEDBACK:
        allowed = f"{SCORE_FEEDBACK!r} on a sealed split"
        raise InvalidValueError("feedback", rules.feedback, allowed)
    return rules


class EpisodeView:
    """What the analysis tools may see: the episode's data, and the rules of play.

    Attributes:
        episode, rules: what is played, and how.
        is_split_task: whether it is a task of a split.
        hides_counts: whether the family, density and count of anomalies are hidden, as in every
            task of a split and in the raw profile.
        has_drawn_policy: whether the reporting policy is drawn.
        policy_numbers: the numbers of the reporting policy that is in force.
        drawn_policy_numbers: further settings that a drawn policy may change; empty if the
            policy was not drawn.
        objective: what the agent is asked to do.
    """

    def __init__(
        self,
        episode: FunnelEpisode,
        rules: PlayRules = DEFAULT_PLAY_RULES,
        is_split_task: bool = False,
    ) -> None:
        level = episode.config.level
        self.episode, self.rules, self.is_split_task = episode, rules, is_split_task
        self.hides_counts, self.has_drawn_policy = (
            is_split_task or rules.is_raw,
            level.has_drawn_policy,
        )
        self.drawn_policy_numbers = _drawn_policy_numbers(episode) if level.has_drawn_policy else {}
        self.policy_numbers = {
            "thresholds": public_thresholds(level),
            "severity_bands": public_severity_bounds(level),
            **self.drawn_policy_numbers,
        }
        self.objective = OBJECTIVES_BY_MODE[rules.profile, rules.disclosure]

    @cached_property
    def public_config(self) -> dict[str, Any]:
        """The public configuration.

        The seed is not in it: anyone who can run code next to the environment would only have
        to generate the episode again.
        """
        config = self.episode.config
        return {
            "difficulty": config.difficulty,
            "scenario_family": HIDDEN_VALUE if self.hides_counts else config.scenario_family,
            "anomaly_density": HIDDEN_VALUE if self.hides_counts else config.anomaly_density,
            "anomaly_count": HIDDEN_VALUE if self.hides_counts else len(self.episode.expected_rows),
            "funnel": config.funnel,
            "days": len(self.episode.dates),
            "start_date": self.episode.dates[0],
            "end_date": self.episode.dates[-1],
            **({"policy": config.policy} if self.has_drawn_policy else {}),
            **self.policy_numbers,
            **({"calendar": True} if config.level.decoys else {}),
            **self.rules.rules_without_default_modes,
            "generator_version": GENERATOR_VERSION,
            "policy_version": config.level.policy_version,
            "grader_version": GRADER_VERSION,
        }

    @property
    def policy_text(self) -> str:
        """The reporting policy in words, with this episode's thresholds."""
        return self._format_policy(with_rows=True)

    @property
    def instruction(self) -> str:
        """What the agent is asked to do, and by which rule.

        Where ids are submitted, without what stands in a row's fields.
        """
        by_id = self.rules.is_lean and not self.rules.is_raw
        lead = DRAWN_POLICY_HEADING if self.has_drawn_policy else "Reporting policy:"
        return f"{self.objective} {lead} {self._format_policy(with_rows=not by_id)}"

    def _format_policy(self, *, with_rows: bool) -> str:
        config = self.episode.config
        calendar = "calendar" if self.rules.is_lean else "list_calendar"
        return format_policy_text(
            config.funnel_spec, config.level, calendar=calendar, with_rows=with_rows
        )


def _drawn_policy_numbers(episode: FunnelEpisode) -> dict[str, Any]:
    level, (start, stop) = episode.config.level, episode.config.funnel_spec.daytime
    by_weekday = level.baseline == SAME_WEEKDAY
    first = WEEKDAYS[date.fromisoformat(episode.dates[0]).weekday()]
    return {
        "daytime_hours": [start, stop - 1],
        "baseline": level.baseline,
        "leak_reports": level.leak_reports,
        **({"first_weekday": first} if by_weekday else {}),
    }


def play_mode(episode_fields: Mapping[str, Any]) -> tuple[str, str]:
    """Profile and disclosure of a funnel episode, by its opening, its reset's arguments or state.

    Names that there are none of count as the usual ones: a reset with them is refused.
    """
    if isinstance(instruction := episode_fields.get("instruction"), str):
        modes = (
            mode
            for mode, objective in OBJECTIVES_BY_MODE.items()
            if instruction.startswith(objective)
        )
        return next(modes, (STANDARD, GUIDED))
    return (
        LEAN if episode_fields.get("profile") == LEAN else STANDARD,
        RAW if episode_fields.get("disclosure") == RAW else GUIDED,
    )


def has_drawn_policy(episode_fields: Mapping[str, Any]) -> bool:
    """Whether an episode's policy is drawn, by its opening, its reset's arguments or its state."""
    if isinstance(instruction := episode_fields.get("instruction"), str):
        return DRAWN_POLICY_HEADING in instruction
    return episode_fields.get("policy") == VARIED


def public_thresholds(level: FunnelLevel) -> dict[str, float]:
    """Reporting thresholds of a level, as agents see them."""
    return {name: level.thresholds[kind] for kind, name in PUBLIC_THRESHOLD_NAMES.items()}


def public_severity_bounds(level: FunnelLevel) -> dict[str, list[float]]:
    """Lower bounds of medium, high and critical, as agents see them."""
    return {kind: list(bounds) for kind, bounds in level.severity_bounds.items()}


def list_rate_definitions(funnel: Funnel) -> list[dict[str, str]]:
    """Numerator, denominator, description and formula of each conversion rate."""
    return [
        {
            "name": name,
            "numerator": funnel.count_names[above],
            "denominator": funnel.count_names[below],
            "description": f"{funnel.count_names[above]} per 100 {funnel.count_names[below]}",
            "formula": f"100 * {funnel.count_names[above]} / {funnel.count_names[below]}",
        }
        for name, (above, below) in zip(funnel.rate_names, funnel.rate_stage_indices, strict=True)
    ]
