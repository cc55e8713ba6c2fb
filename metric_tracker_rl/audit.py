"""The levels, settings and episodes with which the funnel environment is audited for exploits.

A setting is a scenario family, a split, or mixed episodes in a play mode other than the default.
Observations show the number of anomalies and the scenario family, except in splits and with raw
disclosure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from metric_tracker_rl.engine.configuration.episode_config import (
    SCENARIO_FAMILIES,
)
from metric_tracker_rl.engine.configuration.modes import (
    LEAN_MODE,
    LEAN_RAW_MODE,
    RAW_MODE,
    read_play_mode,
)
from metric_tracker_rl.engine.configuration.splits import SPLITS
from metric_tracker_rl.engine.definitions.anomaly_types import MIXED
from metric_tracker_rl.engine.definitions.levels import LEVELS
from metric_tracker_rl.engine.definitions.names import Disclosure, PolicySource, Profile
from metric_tracker_rl.engine.episode.episode_view import EpisodeView
from metric_tracker_rl.engine.session.episode_session import EpisodeSession
from metric_tracker_rl.exploits import EXPLOITS
from metric_tracker_rl.exploits.base import CHANCE_CEILING, CHANCE_KEY_F1
from metric_tracker_rl.exploits.lean import LEAN_EXPLOITS
from metric_tracker_rl.exploits.raw import RAW_EXPLOITS
from openenv_kit.environment import Environment
from openenv_kit.errors import require_name
from openenv_kit.rewards import Reward
from openenv_kit.splits import derive_seed_from_text
from openenv_kit.trust.audit import SPLIT_PREFIX, Audit, AuditLine
from openenv_kit.trust.exploits import AuditedEpisode

BASELINE_POLICIES = (
    "reference",
    "upstream_first_practice",
    "upstream_first",
    "median_filter",
    "report_all",
    "random",
    "null",
)
ANOMALY_COUNTS = (2, 3, 4, 5)
"""Anomaly counts that the audited episodes cycle through. No audited episode has 0 anomalies."""
TRAINING_EPISODES = 400
"""Number of training episodes for each setting and level."""
FIRST_TRAINING_EPISODE = 4000
"""Number of the first training episode. Audited episodes have smaller numbers."""
TRAINING_SPLIT = "train"
MAX_STEPS = 128
MODE_PREFIX = "mode:"
"""Prefix of the settings that play mixed episodes in a play mode other than the default."""
MODE_SETTINGS: dict[str, dict[str, str]] = {
    MODE_PREFIX + Reward.EXACT: {"reward": Reward.EXACT},
    MODE_PREFIX + Reward.KEY_F1: {"reward": Reward.KEY_F1},
    MODE_PREFIX + Profile.LEAN: {"profile": Profile.LEAN},
    MODE_PREFIX + Disclosure.RAW: {"disclosure": Disclosure.RAW},
    MODE_PREFIX + "lean_raw": {"profile": Profile.LEAN, "disclosure": Disclosure.RAW},
    MODE_PREFIX + PolicySource.VARIED: {"policy": PolicySource.VARIED},
    MODE_PREFIX + "lean_varied": {"profile": Profile.LEAN, "policy": PolicySource.VARIED},
    MODE_PREFIX + "raw_varied": {"disclosure": Disclosure.RAW, "policy": PolicySource.VARIED},
}
"""Reset arguments of the settings with `MODE_PREFIX`, by setting name."""
LEAN_BASELINES = ("reference", "null")
RAW_BASELINES = ("reference", "random", "null")
RAW_COMPATIBLE_EXPLOITS = (
    "everything",
    "visible_family",
    "regenerate_seed",
    "debug_probing",
    "other_session",
)
"""Exploits of the standard profile that use only tools of raw disclosure."""
PLAYERS_BY_MODE = {
    LEAN_MODE: (*LEAN_BASELINES, *LEAN_EXPLOITS),
    RAW_MODE: (*RAW_BASELINES, *RAW_COMPATIBLE_EXPLOITS, *RAW_EXPLOITS),
    LEAN_RAW_MODE: (*LEAN_BASELINES, *RAW_EXPLOITS),
}
"""Names of the policies that play in each mode whose tools differ from the default tools."""


class MetricTrackerAudit(Audit):
    """Audits the funnel environment. `openenv_kit.trust.audit.Audit` documents the members."""

    levels = tuple(LEVELS)
    baseline_names = BASELINE_POLICIES
    exploits = EXPLOITS

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self.full_settings |= {*MODE_SETTINGS}

    @property
    def settings(self) -> Sequence[str]:
        families = [name for name in SCENARIO_FAMILIES if name != MIXED]
        return [
            MIXED,
            *families,
            *(SPLIT_PREFIX + name for name in SPLITS.list_playable_split_names()),
            *MODE_SETTINGS,
        ]

    def count_planned_episodes(self, policy_name: str, setting: str, max_episodes: int) -> int:
        """Return how many of `max_episodes` episodes a policy plays in a setting.

        The number is 0 if the policy uses tools that the setting's play mode does not have.
        """
        players = PLAYERS_BY_MODE.get(read_play_mode(MODE_SETTINGS.get(setting, {})))
        if players is None:
            is_playing = policy_name not in (*LEAN_EXPLOITS, *RAW_EXPLOITS)
        else:
            is_playing = policy_name in players
        if not is_playing:
            return 0
        return super().count_planned_episodes(policy_name, setting, max_episodes)

    def count_episodes(self, setting: str, level: str) -> int:
        if setting.startswith(SPLIT_PREFIX):
            return min(super().count_episodes(setting, level), FIRST_TRAINING_EPISODE)
        return FIRST_TRAINING_EPISODE

    def build_reset_arguments(
        self, level: str, episode_number: int, max_submissions: int = 1, setting: str | None = None
    ) -> dict[str, Any]:
        setting = setting or MIXED
        rules = {"max_steps": MAX_STEPS, "max_submissions": max_submissions}
        if setting in MODE_SETTINGS:
            reset = self.build_reset_arguments(level, episode_number, max_submissions)
            reset |= MODE_SETTINGS[setting]
            # Only the graded reward allows practice submissions.
            if "reward" in MODE_SETTINGS[setting]:
                reset["max_submissions"] = 1
            return reset
        if setting.startswith(SPLIT_PREFIX):
            split = setting.removeprefix(SPLIT_PREFIX)
            return {
                "split": split,
                "index": self.list_task_indices_of_level(split, level)[episode_number],
                **rules,
            }
        return {
            "seed": derive_seed_from_text(f"metric-tracker-audit/1|{level}|{episode_number}"),
            "scenario_family": require_name("setting", setting, SCENARIO_FAMILIES),
            "difficulty": level,
            "anomaly_count": ANOMALY_COUNTS[episode_number % len(ANOMALY_COUNTS)],
            **rules,
        }

    def _build_audit_line(
        self, setting: str, level: str, policy: str, episodes: Sequence[AuditedEpisode]
    ) -> AuditLine:
        line = super()._build_audit_line(setting, level, policy, episodes)
        if (
            setting == MODE_PREFIX + Reward.KEY_F1
            and self.get_exploit_or_baseline(policy).ceiling is CHANCE_CEILING
        ):
            return replace(line, max_mean=CHANCE_KEY_F1[level])
        return line

    def list_training_episodes(self, setting: str, level: str) -> Sequence[EpisodeView]:
        """Return the episodes of a setting and level to which exploits may be fitted.

        The audit does not play these episodes. For every setting that plays a split, they come from
        the train split.
        """
        if setting.startswith(SPLIT_PREFIX):
            setting = SPLIT_PREFIX + TRAINING_SPLIT
        elif setting in MODE_SETTINGS and "policy" not in MODE_SETTINGS[setting]:
            # The mode changes only tools or rewards, so the mixed setting has the same episodes.
            setting = MIXED
        return _build_training_episodes(self, setting, level)

    def compute_expected_answer_size(self, reset_arguments: Mapping[str, Any]) -> int:
        return len(_reset_episode_and_get_view(reset_arguments).episode.expected_rows)


@lru_cache(maxsize=2)
def _build_training_episodes(
    audit: MetricTrackerAudit, setting: str, level: str
) -> tuple[EpisodeView, ...]:
    numbers = range(FIRST_TRAINING_EPISODE, FIRST_TRAINING_EPISODE + TRAINING_EPISODES)
    return tuple(
        _reset_episode_and_get_view(audit.build_reset_arguments(level, number, setting=setting))
        for number in numbers
    )


def _reset_episode_and_get_view(reset_arguments: Mapping[str, Any]) -> EpisodeView:
    session = EpisodeSession()
    reply = session.reset(**reset_arguments)
    if session.view is None:
        raise RuntimeError(reply.message)
    return session.view
