"""Play rules of an episode, such as its step limit, submission limit and reward formula."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from metric_tracker_rl.engine.configuration.modes import PlayMode
from metric_tracker_rl.engine.configuration.reset_arguments import PLAY_RULE_ARGUMENTS
from metric_tracker_rl.engine.definitions.names import (
    DISCLOSURES,
    PROFILES,
    REWARDS,
    Disclosure,
    Profile,
)
from openenv_kit.errors import InvalidValueError, require_integer, require_name
from openenv_kit.rewards import Reward

DEFAULT_MAX_STEPS = 64
MAX_STEPS_LIMIT = 500
MAX_SUBMISSIONS_LIMIT = 5
PRACTICE_COST = 0.1
"""Share of the score that is deducted for each submission before the last one."""

FULL_FEEDBACK = "full"
SCORE_FEEDBACK = "score"
FEEDBACK_MODES = (FULL_FEEDBACK, SCORE_FEEDBACK)
"""Allowed values of `feedback`: a final reply with details of every row, or with the score only."""


@dataclass(frozen=True)
class PlayRules:
    """Play rules of one episode, which do not affect its data.

    Attributes:
        max_steps: step limit, 1 to 500; exceeding it ends the episode with score 0.
        max_submissions: submission limit, 1 to 5. The last submission is scored. A perfect
            submission ends the episode early.
        feedback: "full", or "score" for a final reply that contains only the score. "score"
            requires a submission limit of 1, because replies to practice submissions reveal row
            counts.
        profile: set of tools that the episode offers, "standard" or "lean".
        disclosure: "guided", or "raw" for tools that return only values, medians and hourly counts.
            "raw" also hides the family, density and number of anomalies.
        reward: formula of the final reward: "graded", "exact" or "key_f1". Only "graded" allows
            more than one submission.
    """

    max_steps: int = DEFAULT_MAX_STEPS
    max_submissions: int = 1
    feedback: str = FULL_FEEDBACK
    profile: str = Profile.STANDARD
    disclosure: str = Disclosure.GUIDED
    reward: str = Reward.GRADED

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
        if self.reward != Reward.GRADED and self.max_submissions > 1:
            allowed = f"1 with reward {self.reward!r}"
            raise InvalidValueError("max_submissions", self.max_submissions, allowed)

    @cached_property
    def mode(self) -> PlayMode:
        """Play mode of the episode, which consists of its profile and disclosure."""
        return PlayMode(Profile(self.profile), Disclosure(self.disclosure))

    @property
    def has_lean_profile(self) -> bool:
        """Whether the episode offers the small set of tools, the profile `lean`."""
        return self.mode.has_lean_profile

    @property
    def has_raw_disclosure(self) -> bool:
        """Whether the disclosure is `raw`, so that no tool says which values are anomalous."""
        return self.mode.has_raw_disclosure

    @cached_property
    def rules_by_name_without_default_modes(self) -> dict[str, Any]:
        """All rules by name, except a profile, disclosure or reward that has its default value."""
        rules = {name: getattr(self, name) for name in PLAY_RULE_ARGUMENTS}
        return {name: rule for name, rule in rules.items() if MODE_DEFAULTS.get(name) != rule}


DEFAULT_PLAY_RULES = PlayRules()
MODE_DEFAULTS: dict[str, str] = {
    "profile": DEFAULT_PLAY_RULES.profile,
    "disclosure": DEFAULT_PLAY_RULES.disclosure,
    "reward": DEFAULT_PLAY_RULES.reward,
}
"""Default values that the public configuration leaves out."""


def resolve_play_rules(requested_rules: Mapping[str, Any], *, is_sealed_task: bool) -> PlayRules:
    """Return the play rules that a reset requests, with defaults for omitted rules.

    Args:
        requested_rules: requested values by the field names of `PlayRules`. A value of None means
            the default.
        is_sealed_task: whether the episode is a task of a sealed split, whose tasks only the server
            can generate. The feedback of such a task is always "score".

    Raises:
        UnknownNameError, InvalidValueError: a rule violates the limits of `PlayRules`, or the
            feedback requested for a sealed task is not "score".
    """
    given_rules = {name: rule for name, rule in requested_rules.items() if rule is not None}
    if not given_rules and not is_sealed_task:
        return DEFAULT_PLAY_RULES  # sharing one instance also shares its cached properties
    default_feedback = SCORE_FEEDBACK if is_sealed_task else FULL_FEEDBACK
    rules = PlayRules(**{"feedback": default_feedback, **given_rules})
    if is_sealed_task and rules.feedback != SCORE_FEEDBACK:
        allowed = f"{SCORE_FEEDBACK!r} on a sealed split"
        raise InvalidValueError("feedback", rules.feedback, allowed)
    return rules
