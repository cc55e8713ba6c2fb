"""The audit's plan: mixed episodes with a visible count, single families, then splits.

In the splits neither family nor count is shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from metric_tracker_rl.engine.configuration.episode_config import MIXED, SCENARIO_FAMILIES
from metric_tracker_rl.engine.configuration.modes import (
    LEAN_MODE,
    LEAN_RAW_MODE,
    RAW_MODE,
    play_mode,
)
from metric_tracker_rl.engine.configuration.splits import SPLITS
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
from openenv_kit.splits import seed_from_text
from openenv_kit.trust.audit import SPLIT_PREFIX, Audit, AuditLine
from openenv_kit.trust.exploits import AuditedEpisode

BASELINE_POLICIES = (
    *("reference", "upstream_first_practice", "upstream_first"),
    *("median_filter", "report_all", "random", "null"),
)
ANOMALY_COUNTS = (2, 3, 4, 5)
"""Anomalies of the audited episodes, in turn; all of them have something to find."""
TRAINING_EPISODES = 400
"""Episodes of a setting and level that an exploit may learn from before it plays."""
FIRST_TRAINING_EPISODE = 4000
"""Number of the first of them: beyond all that are played."""
TRAINING_SPLIT = "train"
MODE_PREFIX = "mode:"
"""Prefix of the settings that are mixed episodes in another mode of play."""
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
"""Reset arguments of each of them."""
LEAN_BASELINES = ("reference", "null")
RAW_BASELINES = ("reference", "random", "null")
RAW_COMPATIBLE_EXPLOITS = (
    "everything",
    "visible_family",
    "regenerate_seed",
    "debug_probing",
    "other_session",
)
"""Exploits of the standard profile that ask for nothing that raw disclosure takes away."""
PLAYERS_BY_MODE = {
    LEAN_MODE: (*LEAN_BASELINES, *LEAN_EXPLOITS),
    RAW_MODE: (*RAW_BASELINES, *RAW_COMPATIBLE_EXPLOITS, *RAW_EXPLOITS),
    LEAN_RAW_MODE: (*LEAN_BASELINES, *RAW_EXPLOITS),
}
"""Who plays with other tools than the usual ones, by profile and disclosure."""


class MetricTrackerAudit(Audit):
    """Levels, settings and episodes of this environment's audit."""

    levels = tuple(LEVELS)
    baselines = BASELINE_POLICIES
    exploits = EXPLOITS

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self.full_settings |= {*MODE_SETTINGS}

    @property
    def settings(self) -> Sequence[str]:
        families = [name for name in SCENARIO_FAMILIES if name != MIXED]
        return [MIXED, *families, *(SPLIT_PREFIX + name for name in SPLITS.names()), *MODE_SETTINGS]

    def count_planned_episodes(self, policy_name: str, setting: str, max_episodes: int) -> int:
        """The same; but where other tools are offered than the usual ones, others play."""
        here = PLAYERS_BY_MODE.get(play_mode(MODE_SETTINGS.get(setting, {})))
        elsewhere = (*LEAN_EXPLOITS, *RAW_EXPLOITS)
        plays = policy_name not in elsewhere if here is None else policy_name in here
        return super().count_planned_episodes(policy_name, setting, max_episodes) if plays else 0

    def count_episodes(self, setting: str, level: str) -> int:
        if setting.startswith(SPLIT_PREFIX):
            return min(super().count_episodes(setting, level), FIRST_TRAINING_EPISODE)
        return FIRST_TRAINING_EPISODE

    def reset_arguments(
        self, level: str, episode_number: int, max_submissions: int = 1, setting: str | None = None
    ) -> dict[str, Any]:
        setting = setting or MIXED
        rules = {"max_steps": 128, "max_submissions": max_submissions}
        if setting in MODE_SETTINGS:
            paid = {"max_submissions": 1} if "reward" in MODE_SETTINGS[setting] else {}
            return {
                **self.reset_arguments(level, episode_number, max_submissions),
                **MODE_SETTINGS[setting],
                **paid,
            }
        if setting.startswith(SPLIT_PREFIX):
            split = setting.removeprefix(SPLIT_PREFIX)
            return {
                "split": split,
                "index": self.task_indices(split, level)[episode_number],
                **rules,
            }
        return {
            "seed": seed_from_text(f"metric-tracker-audit/1|{level}|{episode_number}"),
            "scenario_family": require_name("setting", setting, SCENARIO_FAMILIES),
            "difficulty": level,
            "anomaly_count": ANOMALY_COUNTS[episode_number % len(ANOMALY_COUNTS)],
            **rules,
        }

    def _build_line(
        self, setting: str, level: str, policy: str, episodes: Sequence[AuditedEpisode]
    ) -> AuditLine:
        line = super()._build_line(setting, level, policy, episodes)
        if (
            setting == MODE_PREFIX + Reward.KEY_F1
            and self.get_exploit_or_baseline(policy).ceiling is CHANCE_CEILING
        ):
            return replace(line, max_mean=CHANCE_KEY_F1[level])
        return line

    def training_episodes(self, setting: str, level: str) -> Sequence[EpisodeView]:
        """Episodes of the setting that are never played; for every split, of the train split."""
        if setting.startswith(SPLIT_PREFIX):
            setting = SPLIT_PREFIX + TRAINING_SPLIT
        alike = setting in MODE_SETTINGS and "policy" not in MODE_SETTINGS[setting]
        return _build_training_episodes(self, MIXED if alike else setting, level)

    def expected_answer_size(self, reset: Mapping[str, Any]) -> int:
        return len(_episode_view_of_reset(reset).episode.expected_rows)


@lru_cache(maxsize=2)
def _build_training_episodes(
    audit: MetricTrackerAudit, setting: str, level: str
) -> tuple[EpisodeView, ...]:
    numbers = range(FIRST_TRAINING_EPISODE, FIRST_TRAINING_EPISODE + TRAINING_EPISODES)
    return tuple(
        _episode_view_of_reset(audit.reset_arguments(level, n, setting=setting)) for n in numbers
    )


def _episode_view_of_reset(reset: Mapping[str, Any]) -> EpisodeView:
    session = EpisodeSession()
    reply = session.reset(**reset)
    if session.view is None:
        raise RuntimeError(reply.message)
    return session.view
