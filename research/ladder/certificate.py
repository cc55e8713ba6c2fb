"""Measures on a rung how much of the score is left to players who do not read everything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

from metric_tracker_rl.engine.definitions.names import ScanContent
from metric_tracker_rl.engine.definitions.rungs import RUNG_LEVELS
from research.ladder.changed_results import (
    THRESHOLDS,
    build_change_to_result_of,
    build_change_to_term_of,
    iter_assumptions,
)
from research.ladder.episodes import (
    ChangeResult,
    PlayedEpisode,
    choose_reference_ids,
    count_tasks,
    play_reference,
    read_episode,
)
from research.ladder.players import (
    UNINFORMED_PLAYERS,
    PatternTable,
    iter_reports_without_fixed_positions,
    remove_explained_series,
)

MAX_PATTERN_TABLE = 0.35
"""Largest share of exact reports of a pattern table, above the first rung."""
MAX_RESULT_OF_ANOTHER_EPISODE = 0.50
"""Largest share of exact reports of the reference policy that reads a tool's result of another
episode.
"""
MAX_IGNORED_TOOL = 0.35
"""Largest share of exact reports of a player that ignores a tool and drops a fixed position."""
DECIMALS = 4
OTHER_TASK_DISTANCE = 1
"""Another episode is the one of the task with this distance in the split."""


@dataclass(frozen=True)
class ToolCertificate:
    """Shares of exact reports without one tool's own result.

    Attributes:
        result_of_another_episode: the reference policy reads the tool's result of another episode,
            with its dates moved to the same days of this one.
        ignored: the best player that ignores the tool and drops a fixed position.
        ignored_rule: what this player assumes instead, and which position it drops.
    """

    result_of_another_episode: float
    ignored: float
    ignored_rule: str


@dataclass(frozen=True)
class RungCertificate:
    """Shares of exact reports on the test tasks of a rung.

    Attributes:
        rung: name of the rung.
        tasks: number of test tasks.
        training_tasks: number of tasks from which the pattern tables were filled.
        reference: the reference policy.
        pattern_table: a table from the names and signs on a date to the names of the roots.
        table_entries: number of entries of this table.
        table_without_explained: a table of the series that the calendar does not explain.
        tools: certificate of each tool that decides the answer.
        terms: the reference policy reads only this drawn term of another episode.
        uninformed: players that report without a rule.
    """

    rung: str
    tasks: int
    training_tasks: int
    reference: float
    pattern_table: float
    table_entries: int
    table_without_explained: float
    tools: Mapping[str, ToolCertificate] = field(default_factory=dict)
    terms: Mapping[str, float] = field(default_factory=dict)
    uninformed: Mapping[str, float] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return the certificate as JSON values."""
        return asdict(self)

    def list_missed_bounds(self) -> list[str]:
        """Return a sentence for each bound that the rung misses."""
        missed = []
        if self.reference != 1.0:
            missed.append(f"{self.rung}: the reference is exact on {self.reference}, not on 1.")
        if self.tools and self.pattern_table > MAX_PATTERN_TABLE:
            missed.append(
                f"{self.rung}: the pattern table is exact on {self.pattern_table}, allowed: at "
                f"most {MAX_PATTERN_TABLE}."
            )
        for name, tool in self.tools.items():
            if tool.result_of_another_episode > MAX_RESULT_OF_ANOTHER_EPISODE:
                missed.append(
                    f"{self.rung}: with the {name} of another episode, the reference is exact on "
                    f"{tool.result_of_another_episode}, allowed: at most "
                    f"{MAX_RESULT_OF_ANOTHER_EPISODE}."
                )
            if tool.ignored > MAX_IGNORED_TOOL:
                missed.append(
                    f"{self.rung}: a player that ignores {name} is exact on {tool.ignored} "
                    f"({tool.ignored_rule}), allowed: at most {MAX_IGNORED_TOOL}."
                )
        if self.terms.get(THRESHOLDS, 0.0) > MAX_RESULT_OF_ANOTHER_EPISODE:
            missed.append(
                f"{self.rung}: with the thresholds of another episode, the reference is exact on "
                f"{self.terms[THRESHOLDS]}, allowed: at most {MAX_RESULT_OF_ANOTHER_EPISODE}."
            )
        return missed


def list_deciding_tools(rung: str) -> tuple[str, ...]:
    """Return the names of the tools besides `scan` that decide the answer on a rung."""
    level = RUNG_LEVELS[rung]
    decides = {
        "calendar": level.decoys > 0,
        "overview": level.has_drawn_terms,
        "day": level.scan_lists == ScanContent.DATES,
    }
    return tuple(name for name, is_deciding in decides.items() if is_deciding)


def list_drawn_terms(rung: str) -> tuple[str, ...]:
    """Return the names of the terms that `overview` states on a rung."""
    level = RUNG_LEVELS[rung]
    terms = ("suspended_rule", "leak_reports") if level.has_drawn_terms else ()
    return (*terms, THRESHOLDS) if level.threshold_factors else terms


def certify_rung(
    rung: str, test_tasks: int | None = None, training_tasks: int | None = None
) -> RungCertificate:
    """Measure all players on the first test tasks of a rung.

    Args:
        rung: name of the rung.
        test_tasks: number of test tasks; None for all.
        training_tasks: number of training tasks that fill the pattern tables; None for all.
    """
    test_count = test_tasks or count_tasks(f"test_{rung}")
    training_count = training_tasks or count_tasks(f"train_{rung}")
    episodes = [play_reference(f"test_{rung}", index) for index in range(test_count)]
    table, table_without_explained = PatternTable(), PatternTable()
    for index in range(training_count):
        known_episode = read_episode(f"train_{rung}", index)
        table.add_episode(known_episode.series)
        table_without_explained.add_episode(remove_explained_series(known_episode))
    measure = partial(_measure_exact_share, episodes)
    return RungCertificate(
        rung=rung,
        tasks=test_count,
        training_tasks=training_count,
        reference=round(sum(each.is_exact for each in episodes) / test_count, DECIMALS),
        pattern_table=measure(lambda episode: table.choose_ids(episode.series)),
        table_entries=table.entry_count,
        table_without_explained=measure(
            lambda episode: table_without_explained.choose_ids(remove_explained_series(episode))
        ),
        tools={name: _certify_tool(name, rung, episodes) for name in list_deciding_tools(rung)},
        terms={name: _measure_term_of_another(name, episodes) for name in list_drawn_terms(rung)},
        uninformed={name: measure(player) for name, player in UNINFORMED_PLAYERS.items()},
    )


def _measure_exact_share(
    episodes: Sequence[PlayedEpisode], choose_ids: Callable[[PlayedEpisode], frozenset[int]]
) -> float:
    exact = sum(choose_ids(episode) == episode.root_ids for episode in episodes)
    return round(exact / len(episodes), DECIMALS)


def _measure_term_of_another(term: str, episodes: Sequence[PlayedEpisode]) -> float:
    return _measure_exact_share_of_pairs(
        episodes, lambda _, other: build_change_to_term_of(other, term)
    )


def _measure_exact_share_of_pairs(
    episodes: Sequence[PlayedEpisode],
    build_change: Callable[[PlayedEpisode, PlayedEpisode], ChangeResult],
) -> float:
    """Return the share of episodes in which the reference is exact with changed results.

    Args:
        episodes: played episodes.
        build_change: returns the change of the results of an episode, given another episode.
    """
    exact = 0
    for position, episode in enumerate(episodes):
        other = episodes[(position + OTHER_TASK_DISTANCE) % len(episodes)]
        ids = choose_reference_ids(episode, build_change(episode, other))
        exact += ids == episode.root_ids
    return round(exact / len(episodes), DECIMALS)


def _certify_tool(name: str, rung: str, episodes: Sequence[PlayedEpisode]) -> ToolCertificate:
    exact_by_rule: Counter[str] = Counter()
    for episode in episodes:
        for assumption, change_result in iter_assumptions(name, rung):
            ids = choose_reference_ids(episode, change_result)
            for rule, kept_ids in iter_reports_without_fixed_positions(episode, ids):
                exact_by_rule[f"assumes {assumption}, drops {rule}"] += kept_ids == episode.root_ids
    best_rule, best = exact_by_rule.most_common(1)[0]
    return ToolCertificate(
        result_of_another_episode=_measure_exact_share_of_pairs(
            episodes, lambda episode, other: build_change_to_result_of(other, episode, name)
        ),
        ignored=round(best / len(episodes), DECIMALS),
        ignored_rule=best_rule,
    )
