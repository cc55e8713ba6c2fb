"""The audit's plan: mixed episodes with a visible count, single families, then splits.

In the splits neither family nor count is shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from metric_tracker_rl.engine.configuration.episode_config import MIXED, SCENARIO_FAMILIES
from metric_tracker_rl.engine.configuration.play_rules import EpisodeView, mode_of
from metric_tracker_rl.engine.configuration.splits import SPLITS
from metric_tracker_rl.engine.definitions.levels import LEVELS
from metric_tracker_rl.engine.definitions.names import (
    EXACT,
    GUIDED,
    KEY_F1,
    LEAN,
    RAW,
    STANDARD,
    VARIED,
)
from metric_tracker_rl.engine.session.episode_session import EpisodeSession
from metric_tracker_rl.exploits import EXPLOITS
from metric_tracker_rl.exploits.base import LUCK_OF_KEYS, NOTHING_BUT_LUCK
from metric_tracker_rl.exploits.lean import LEAN_EXPLOITS
from metric_tracker_rl.exploits.raw import RAW_EXPLOITS
from openenv_kit.environment import Environment
from openenv_kit.errors import require_name
from openenv_kit.splits import hashed_seed
from openenv_kit.trust.audit import SPLIT, Audit, AuditLine
from openenv_kit.trust.exploits import Played

BASELINES = (
    *("reference", "upstream_first_practice", "upstream_first"),
    *("median_filter", "report_all", "random", "null"),
)
COUNTS = (2, 3, 4, 5)
"""Anomalies of the audited episodes, in turn; all of them have something to find."""
KNOWN = 400
"""Episodes of a setting and level that an exploit may learn from before it plays."""
FIRST_KNOWN = 4000
"""Number of the first of them: beyond all that are played."""
KNOWN_SPLIT = "train"
MODE = "mode:"
"""Prefix of the settings that are mixed episodes in another mode of play."""
MODES: dict[str, dict[str, str]] = {
    MODE + EXACT: {"reward": EXACT},
    MODE + KEY_F1: {"reward": KEY_F1},
    MODE + LEAN: {"profile": LEAN},
    MODE + RAW: {"disclosure": RAW},
    MODE + "lean_raw": {"profile": LEAN, "disclosure": RAW},
    MODE + VARIED: {"policy": VARIED},
    MODE + "lean_varied": {"profile": LEAN, "policy": VARIED},
    MODE + "raw_varied": {"disclosure": RAW, "policy": VARIED},
}
"""Reset arguments of each of them."""
LEAN_BASELINES = ("reference", "null")
RAW_BASELINES = ("reference", "random", "null")
RAW_TOO = ("everything", "visible_family", "regenerate_seed", "debug_probing", "other_session")
"""Exploits of the standard profile that ask for nothing that raw disclosure takes away."""
PLAYERS_OF = {
    (LEAN, GUIDED): (*LEAN_BASELINES, *LEAN_EXPLOITS),
    (STANDARD, RAW): (*RAW_BASELINES, *RAW_TOO, *RAW_EXPLOITS),
    (LEAN, RAW): (*LEAN_BASELINES, *RAW_EXPLOITS),
}
"""Who plays with other tools than the usual ones, by profile and disclosure."""


class MetricTrackerAudit(Audit):
    """Levels, settings and episodes of this environment's audit."""

    levels = tuple(LEVELS)
    baselines = BASELINES
    exploits = EXPLOITS

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self.in_full |= {*MODES}

    @property
    def settings(self) -> Sequence[str]:
        families = [name for name in SCENARIO_FAMILIES if name != MIXED]
        return [MIXED, *families, *(SPLIT + name for name in SPLITS.names()), *MODES]

    def episodes_of(self, name: str, setting: str, size: int) -> int:
        """The same; but where other tools are offered than the usual ones, others play."""
        here = PLAYERS_OF.get(mode_of(MODES.get(setting, {})))
        elsewhere = (*LEAN_EXPLOITS, *RAW_EXPLOITS)
        plays = name not in elsewhere if here is None else name in here
        return super().episodes_of(name, setting, size) if plays else 0

    def size(self, setting: str, level: str) -> int:
        if setting.startswith(SPLIT):
            return min(super().size(setting, level), FIRST_KNOWN)
        return FIRST_KNOWN

    def reset_arguments(
        self, level: str, number: int, submissions: int = 1, setting: str | None = None
    ) -> dict[str, Any]:
        setting = setting or MIXED
        rules = {"max_steps": 128, "max_submissions": submissions}
        if setting in MODES:
            paid = {"max_submissions": 1} if "reward" in MODES[setting] else {}
            return {**self.reset_arguments(level, number, submissions), **MODES[setting], **paid}
        if setting.startswith(SPLIT):
            split = setting.removeprefix(SPLIT)
            return {"split": split, "index": self.places(split, level)[number], **rules}
        return {
            "seed": hashed_seed(f"metric-tracker-audit/1|{level}|{number}"),
            "scenario_family": require_name("setting", setting, SCENARIO_FAMILIES),
            "difficulty": level,
            "anomaly_count": COUNTS[number % len(COUNTS)],
            **rules,
        }

    def _line(self, setting: str, level: str, policy: str, played: Sequence[Played]) -> AuditLine:
        line = super()._line(setting, level, policy, played)
        if setting == MODE + KEY_F1 and self.player(policy).ceiling is NOTHING_BUT_LUCK:
            return replace(line, max_mean=LUCK_OF_KEYS[level])
        return line

    def known(self, setting: str, level: str) -> Sequence[EpisodeView]:
        """Episodes of the setting that are never played; for every split, of the train split."""
        if setting.startswith(SPLIT):
            setting = SPLIT + KNOWN_SPLIT
        alike = setting in MODES and "policy" not in MODES[setting]
        return _known(self, MIXED if alike else setting, level)

    def expected(self, reset: Mapping[str, Any]) -> int:
        return len(_view_of(reset).episode.expected_rows)


@lru_cache(maxsize=2)
def _known(audit: MetricTrackerAudit, setting: str, level: str) -> tuple[EpisodeView, ...]:
    numbers = range(FIRST_KNOWN, FIRST_KNOWN + KNOWN)
    return tuple(_view_of(audit.reset_arguments(level, n, setting=setting)) for n in numbers)


def _view_of(reset: Mapping[str, Any]) -> EpisodeView:
    session = EpisodeSession()
    reply = session.reset(**reset)
    if session.view is None:
        raise RuntimeError(reply.message)
    return session.view
