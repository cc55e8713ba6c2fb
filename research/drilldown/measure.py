"""`python -m research.drilldown.measure [PART …]`: measures episodes and scores of drill-down.

Parts: sizes (attributes, days and kinds of 1,000 training tasks of each level), laws (properties of
the score on 10,000 random reports) and hedging (gain from reporting two versions of a row).
"""

from __future__ import annotations

import itertools
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from statistics import fmean

from drilldown_env.building import build_episode
from drilldown_env.episode import Episode
from drilldown_env.grade import grade, place_of
from drilldown_env.levels import KINDS, LEVELS
from drilldown_env.report import ReportRow, stages_of
from drilldown_env.tasks import SPLITS
from openenv_kit.splits import find_task_indices_of_level


def build_training_episodes(level: str, count: int) -> Iterator[Episode]:
    """Generate training episodes of a level."""
    for index in find_task_indices_of_level(SPLITS, "train", level)[:count]:
        yield build_episode(SPLITS.task("train", index).config)


def random_valid_row(episode: Episode, dice: random.Random) -> ReportRow:
    """Return a random valid row."""
    kind, first = dice.choice(KINDS), dice.randrange(50)
    dims = dice.sample(episode.domain.dims, dice.randint(0, 3))
    return ReportRow(
        kind,
        dice.choice(list(stages_of(kind, episode.domain))),
        dice.choice(["up", "down"]),
        tuple(sorted((dim.name, dice.choice(dim.names)) for dim in dims)),
        episode.dates[first],
        episode.dates[min(first + dice.randrange(9), 55)],
        dice.choice(["unattributed", *(entry.id for entry in episode.log)]),
    )


def random_row_near_root(episode: Episode, dice: random.Random) -> ReportRow:
    """Return a random valid row, often one that shares most fields with a root."""
    row = random_valid_row(episode, dice)
    if not episode.expected_rows or dice.random() < 0.4:
        return row
    root = dice.choice(episode.expected_rows)
    root_fields = {
        name: getattr(root, name) for name in ReportRow.__dataclass_fields__ if dice.random() < 0.8
    }
    mixed_row = replace(row, **root_fields)
    return row if mixed_row.date_to < mixed_row.date_from else mixed_row


def score_report(rows: list[ReportRow], episode: Episode) -> float:
    """Return the score of a report."""
    return grade(rows, episode.expected_rows, episode.dates).score


def sizes(number: int = 1_000) -> None:
    """Print the shares of attributes, days and kinds over all roots."""
    for level in LEVELS:
        fixed, days, kinds = Counter[int](), Counter[int](), Counter[str]()
        unattributed, pairs, episode_count = 0, 0, 0
        for episode in build_training_episodes(level, number):
            episode_count += 1
            for row in episode.expected_rows:
                fixed[len(row.segment)] += 1
                days[episode.day_of[row.date_to] - episode.day_of[row.date_from] + 1] += 1
                kinds[row.kind] += 1
                unattributed += row.change == "unattributed"
            places = [(r.stage, r.date_from, r.kind) for r in episode.expected_rows]
            pairs += len(set(places)) < len(places)
        roots = sum(fixed.values())
        print(level, episode_count, "episodes,", roots, "roots")
        for name, counts in (("attributes", fixed), ("days", days), ("kinds", kinds)):
            print("  ", name, {k: round(v / roots, 3) for k, v in sorted(counts.items())})
        print(
            "   unattributed",
            round(unattributed / roots, 3),
            "cancelling",
            round(pairs / episode_count, 3),
        )


def laws(number: int = 10_000) -> None:
    """Print how often a random report violates a property of the score."""
    dice, broken, tried = random.Random(8), Counter[str](), 0
    episodes = [episode for level in LEVELS for episode in build_training_episodes(level, 24)]
    for _ in range(number):
        episode = dice.choice(episodes)
        rows = [random_row_near_root(episode, dice) for _ in range(dice.randint(0, 6))]
        rows = list({row.place: row for row in rows}.values())
        earned = score_report(rows, episode)
        tried += 1
        broken["order"] += score_report(dice.sample(rows, len(rows)), episode) != earned
        broken["perfect"] += score_report(list(episode.expected_rows), episode) != 1.0
        for root in episode.expected_rows:
            if all(row.place != root.place for row in rows):
                broken["true row lowers"] += score_report([*rows, root], episode) < earned
        more = random_row_near_root(episode, dice)
        meets = any(place_of(more, root, episode.dates) for root in episode.expected_rows)
        if not meets and all(row.place != more.place for row in rows):
            broken["false row raises"] += score_report([*rows, more], episode) > earned
    print(tried, "reports, broken:", dict(broken))


def hedging() -> None:
    """Print the gain from reporting both a correct and a wrong version of a row."""
    wrong: dict[str, Callable[[ReportRow, Episode], ReportRow | None]] = {
        "kind": lambda r, _: replace(r, kind=next(k for k in KINDS if k != r.kind)),
        "change": lambda r, _: replace(r, change="another"),
        "direction": lambda r, _: replace(r, direction={"up": "down", "down": "up"}[r.direction]),
        "stage": lambda r, episode: replace(
            r, stage=next(s for s in episode.domain.stages if s != r.stage)
        ),
        "day": lambda r, episode: replace(
            r, date_to=episode.dates[min(episode.day_of[r.date_to] + 1, 55)]
        ),
        "wider": lambda r, _: replace(r, segment=r.segment[1:]) if len(r.segment) > 1 else None,
    }
    gains_by_error: dict[str, list[float]] = {name: [] for name in wrong}
    for level in LEVELS:
        for episode in build_training_episodes(level, 32):
            for row, (name, change) in itertools.product(episode.expected_rows, wrong.items()):
                others = [other_row for other_row in episode.expected_rows if other_row != row]
                other = change(row, episode)
                if other is None or other == row:
                    continue
                alone = (
                    score_report([*others, row], episode) + score_report([*others, other], episode)
                ) / 2
                gains_by_error[name].append(score_report([*others, row, other], episode) - alone)
    for name, gains in gains_by_error.items():
        pays = sum(gain > 0 for gain in gains) / len(gains)
        print(f"  {name:10} mean gain {fmean(gains):+.3f}, pays in {pays:.3f}")


PARTS: dict[str, Callable[[], None]] = {part.__name__: part for part in (sizes, laws, hedging)}

if __name__ == "__main__":
    for part_name in sys.argv[1:] or PARTS:
        print(part_name)
        PARTS[part_name]()
