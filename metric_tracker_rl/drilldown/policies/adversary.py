"""The adversary: the best way to combine heuristics that a bounded, seeded search finds.

A combination takes the rows that enough of its members report. It is looked for on episodes of its
level that the audit never plays, whose scores it is told, and then played like any heuristic.
Readers, who are granted whatever a table shows, are no members; nor is anything that makes one
tracking loss of two steps, which is an insight that no heuristic has: see `insights`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Any

from metric_tracker_rl.drilldown.building import build_episode
from metric_tracker_rl.drilldown.config import DrillConfig
from metric_tracker_rl.drilldown.domains import DOMAINS
from metric_tracker_rl.drilldown.grade import grade
from metric_tracker_rl.drilldown.levels import LEVELS
from metric_tracker_rl.drilldown.policies.heuristic import (
    PARTIAL,
    READER,
    UNLIMITED,
    Heuristic,
)
from metric_tracker_rl.drilldown.policies.heuristics import HEURISTICS
from metric_tracker_rl.drilldown.policies.scan import Rows, Scan
from metric_tracker_rl.drilldown.report import MAX_ROWS, read_report
from openenv_kit.bitstream import BitStream
from openenv_kit.trust.splits import hashed_seed

MEMBERS = tuple(
    name
    for name, each in HEURISTICS.items()
    if each.ceiling not in (READER, UNLIMITED) and name != "null"
)
"""What may be combined."""
MOST_MEMBERS = 4
TRIES = 240
"""Combinations that a search looks at, beside each member alone."""
KNOWN = 40
"""Episodes of a level that it learns from."""


@dataclass(frozen=True)
class Combination:
    """A way to combine heuristics.

    Attributes:
        members: whose rows are taken; on a tie the earlier one's come first.
        votes: how many members have to report a row; 1 or more.
        one_a_run: of rows of one stage whose days overlap, keep the one of most votes.
    """

    members: tuple[str, ...]
    votes: int = 1
    one_a_run: bool = False

    def rows(self, reports: Mapping[str, Rows]) -> Rows:
        """Its report, from the reports of its members by name."""
        found: dict[str, Mapping[str, Any]] = {}
        votes: Counter[str] = Counter()
        for name in self.members:
            told = {json.dumps(row, sort_keys=True): row for row in reports[name]}
            found = {**told, **found}
            votes.update(told.keys())
        chosen = [found[key] for key, count in votes.most_common() if count >= self.votes]
        return _one_a_run(chosen) if self.one_a_run else chosen

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


class Known:
    """An episode that the search may learn from.

    Args:
        scan: what heuristics are given.
    """

    def __init__(self, scan: Scan) -> None:
        self.scan = scan
        self.reports = reports_on(scan)

    def score(self, combination: Combination) -> float:
        """What a combination earns on it."""
        episode = self.scan.episode
        report = read_report(combination.rows(self.reports)[:MAX_ROWS], episode)
        return grade(report, episode.expected_rows, episode.dates, episode.domain).score


def reports_on(scan: Scan, members: Sequence[str] = MEMBERS) -> dict[str, Rows]:
    """The rows of some heuristics on an episode, by name."""
    return {name: list(HEURISTICS[name].rows(scan))[:MAX_ROWS] for name in members}


def best_combination(known: Sequence[Known], seed: str) -> Combination:
    """The combination of highest mean score that the search finds.

    From the best single member on, one part at a time is changed by chance and kept where the mean
    does not fall.

    Args:
        known: episodes to learn from, at least one.
        seed: decides every choice.
    """
    stream = BitStream(f"adversary/1 {seed}")

    def mean(combination: Combination) -> float:
        return sum(each.score(combination) for each in known) / len(known)

    alone = [Combination((name,)) for name in MEMBERS]
    most, best = max(((mean(each), each) for each in alone), key=lambda pair: pair[0])
    for _ in range(TRIES):
        tried = _changed(best, stream)
        if tried != best and (score := mean(tried)) >= most:
            most, best = score, tried
    return best


@lru_cache
def fitted(level: str) -> Combination:
    """What the search finds on a level, once per process."""
    products, causes = list(DOMAINS), sorted(each for each in LEVELS[level].causes if each)
    known = []
    for number in range(KNOWN):
        config = DrillConfig(
            seed=hashed_seed(f"metric-tracker-drill-adversary/1|{level}|{number}"),
            difficulty=level,
            product=products[number % len(products)],
            causes=causes[number // len(products) % len(causes)],
        )
        known.append(Known(Scan(build_episode(config))))
    return best_combination(known, level)


def _combined(scan: Scan) -> Rows:
    found = fitted(scan.episode.config.difficulty)
    return found.rows(reports_on(scan, found.members))


ADVERSARY = Heuristic(
    "best_combination",
    "Heuristics combined in the best way that a bounded search finds.",
    _combined,
    PARTIAL,
)


def _changed(one: Combination, stream: BitStream) -> Combination:
    """A combination with one part changed."""
    turn = stream.below(5)
    if turn == 0:
        return replace(one, one_a_run=not one.one_a_run)
    if turn == 1:
        return replace(one, votes=1 + stream.below(len(one.members)))
    members = list(one.members)
    if turn == 2 and len(members) > 1:
        members.remove(stream.pick(members))
        return replace(one, members=tuple(members), votes=min(one.votes, len(members)))
    added = stream.pick([name for name in MEMBERS if name not in members])
    if turn == 3 or len(members) == MOST_MEMBERS:
        members[stream.below(len(members))] = added
    else:
        members.insert(stream.below(len(members) + 1), added)
    return replace(one, members=tuple(members))


def _one_a_run(rows: Rows) -> Rows:
    """Rows less those of a stage and days that an earlier one has."""
    kept: Rows = []
    for row in rows:
        apart = all(
            row["stage"] != each["stage"]
            or row["date_to"] < each["date_from"]
            or each["date_to"] < row["date_from"]
            for each in kept
        )
        if apart:
            kept.append(row)
    return kept
