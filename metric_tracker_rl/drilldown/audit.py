"""The audit of the drill-down tier: what one idea earns, against its ceiling.

Heuristics do not play through the tools. They are given the whole cube and sound baselines for
nothing, and their report is graded as any other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from metric_tracker_rl.drilldown.building import build_episode
from metric_tracker_rl.drilldown.domains import DOMAINS
from metric_tracker_rl.drilldown.levels import LEVELS
from metric_tracker_rl.drilldown.policies.adversary import ADVERSARY, fitted
from metric_tracker_rl.drilldown.policies.heuristics import HEURISTICS
from metric_tracker_rl.drilldown.policies.scan import Scan
from metric_tracker_rl.drilldown.tasks import SPLITS, config_of
from metric_tracker_rl.tier_splits import tasks_of_level
from openenv_kit.environment import Environment
from openenv_kit.errors import require_name
from openenv_kit.play.policies import Observed, Play, Policy
from openenv_kit.trust.audit import (
    IDLE,
    REFERENCE,
    SPLIT,
    Audit,
    Job,
    Line,
    Played,
    levels_of,
)
from openenv_kit.trust.exploits import Ceiling, Exploit
from openenv_kit.trust.splits import hashed_seed

ROOTS = "roots"
"""The main setting: episodes that hold a root, of every product in turn."""
MOST = 4_000
"""Episodes of a level that are audited at most."""
TOGETHER = 8
"""Episodes that are kept at hand with all that heuristics are given of them: 25 MB each by SQL."""
scan_of = lru_cache(maxsize=TOGETHER)(Scan)
UNPLAYED = {**HEURISTICS, ADVERSARY.name: ADVERSARY}
"""What is given the whole cube, by name: heuristics, the definition short of one insight at a
time, and the adversary."""


class DrillAudit(Audit):
    """Levels, settings and episodes of this tier's audit."""

    levels = tuple(LEVELS)

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self.names = (*self.baselines, *(name for name in UNPLAYED if name != IDLE))

    @property
    def settings(self) -> Sequence[str]:
        return [ROOTS, *(SPLIT + name for name in SPLITS.names())]

    @property
    def baselines(self) -> Sequence[str]:
        return (REFERENCE, IDLE)

    def size(self, setting: str, level: str) -> int:
        split = setting.removeprefix(SPLIT)
        return MOST if setting == ROOTS else min(len(tasks_of_level(split, level)), MOST)

    def jobs(
        self,
        episodes: int,
        policies: Sequence[str] | None = None,
        levels: Sequence[str] | None = None,
        settings: Sequence[str] | None = None,
        batch: int = TOGETHER,
    ) -> list[Job]:
        """See `Audit`: all policies in turn on a few episodes, then on the next few.

        To make an episode, and what heuristics are given of it, costs more than most of them do.
        """
        found = super().jobs(episodes, policies, levels, settings, batch)
        return sorted(found, key=lambda job: (job.setting, job.difficulty, job.first))

    def reset_arguments(
        self, level: str, number: int, submissions: int = 1, setting: str | None = None
    ) -> dict[str, Any]:
        del submissions  # there is no practice
        if setting in (None, ROOTS):
            causes = sorted(each for each in LEVELS[level].causes if each)
            products = list(DOMAINS)
            return {
                "seed": hashed_seed(f"metric-tracker-drill-audit/1|{level}|{number}"),
                "difficulty": level,
                "product": products[number % len(products)],
                "causes": causes[number // len(products) % len(causes)],
            }
        split = str(setting).removeprefix(SPLIT)
        return {"split": split, "index": tasks_of_level(split, level)[number]}

    def expected(self, reset: Mapping[str, Any]) -> int:
        return len(build_episode(config_of(reset)).expected_rows)

    def run(self, job: Job) -> list[Played]:
        """Play one unit of work; a heuristic's report is graded without a play."""
        if job.policy in self.baselines:
            return super().run(job)
        heuristic, played = UNPLAYED[job.policy], []
        for number in range(job.first, job.stop):
            reset = self.reset_arguments(job.difficulty, number, setting=job.setting)
            episode = build_episode(config_of(reset))
            score = heuristic.grade(scan_of(episode)).score
            played.append(Played(score, 0, 0, len(episode.expected_rows)))
        return played

    def more(self, lines: Sequence[Line], episodes: int) -> dict[str, Any]:
        levels = levels_of([line for line in lines if line.policy == ADVERSARY.name])
        return {"combinations": {level: fitted(level).as_dict() for level in levels}}

    def player(self, name: str) -> Exploit:
        if name in self.baselines:
            return super().player(name)
        heuristic = UNPLAYED[require_name("policy", name, UNPLAYED)]
        ceiling = Ceiling(*heuristic.ceiling, by_interval=True, everywhere=False)
        return Exploit(Policy(name, heuristic.description, _unplayed), ceiling)


def _unplayed(_: Observed) -> Play:
    """The play of a heuristic, which has none: `DrillAudit.run` grades its report."""
    yield from ()
