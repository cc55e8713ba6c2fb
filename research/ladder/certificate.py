"""Measures on a rung how much of the score is left to players who do not read everything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import product
from typing import Any

from metric_tracker_rl.engine.definitions.names import LEAK_REPORTS
from metric_tracker_rl.engine.definitions.rungs import RUNG_LEVELS
from metric_tracker_rl.engine.reporting_policy.drawn_policies import (
    ANOMALY_TYPES_BY_SUSPENDABLE_RULE,
)
from research.ladder.episodes import (
    ChangeResult,
    PlayedEpisode,
    ToolResult,
    choose_reference_ids,
    count_tasks,
    play_reference,
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
        return missed


def list_deciding_tools(rung: str) -> tuple[str, ...]:
    """Return the names of the tools besides `scan` that decide the answer on a rung."""
    level = RUNG_LEVELS[rung]
    decides = {"calendar": level.decoys > 0, "overview": level.has_drawn_terms}
    return tuple(name for name, is_deciding in decides.items() if is_deciding)


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
        episode = play_reference(f"train_{rung}", index)
        table.add_episode(episode.series)
        table_without_explained.add_episode(remove_explained_series(episode))
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
        tools={name: _certify_tool(name, episodes) for name in list_deciding_tools(rung)},
        uninformed={name: measure(player) for name, player in UNINFORMED_PLAYERS.items()},
    )


def _measure_exact_share(
    episodes: Sequence[PlayedEpisode], choose_ids: Callable[[PlayedEpisode], frozenset[int]]
) -> float:
    exact = sum(choose_ids(episode) == episode.root_ids for episode in episodes)
    return round(exact / len(episodes), DECIMALS)


def _certify_tool(name: str, episodes: Sequence[PlayedEpisode]) -> ToolCertificate:
    exact = 0
    for position, episode in enumerate(episodes):
        other = episodes[(position + OTHER_TASK_DISTANCE) % len(episodes)]
        exact += _choose_ids_with_results_of(other, episode, name) == episode.root_ids
    exact_by_rule: Counter[str] = Counter()
    for episode in episodes:
        for assumption, change_result in _iter_assumptions(name):
            ids = choose_reference_ids(episode, change_result)
            for rule, kept_ids in iter_reports_without_fixed_positions(episode, ids):
                exact_by_rule[f"assumes {assumption}, drops {rule}"] += kept_ids == episode.root_ids
    best_rule, best = exact_by_rule.most_common(1)[0]
    return ToolCertificate(
        result_of_another_episode=round(exact / len(episodes), DECIMALS),
        ignored=round(best / len(episodes), DECIMALS),
        ignored_rule=best_rule,
    )


def _choose_ids_with_results_of(
    other: PlayedEpisode, episode: PlayedEpisode, tool: str
) -> frozenset[int]:
    """Return the reference's ids if it reads a tool's results of another episode."""
    other_results = iter(other.results[tool])
    date_of_other = dict(zip(other.dates, episode.dates, strict=False))

    def change_result(name: str, result: ToolResult) -> ToolResult:
        if name != tool:
            return result
        changed = next(other_results)
        if tool != "calendar":
            return changed
        rows = [[date_of_other[date], *rest] for date, *rest in changed["rows"]]
        return {**changed, "rows": rows}

    return choose_reference_ids(episode, change_result)


def _iter_assumptions(tool: str) -> Iterator[tuple[str, ChangeResult]]:
    """Yield what a player may assume instead of reading a tool, with its replacement."""
    for fields in _ASSUMED_FIELDS[tool]():

        def change_result(
            name: str, result: ToolResult, assumed: Mapping[str, Any] = fields
        ) -> ToolResult:
            return {**result, **assumed} if name == tool else result

        yield str(fields), change_result


def _iter_assumed_calendars() -> Iterable[dict[str, Any]]:
    return [{"rows": []}]


def _iter_assumed_overviews() -> Iterable[dict[str, Any]]:
    rules = (None, *ANOMALY_TYPES_BY_SUSPENDABLE_RULE)
    return [
        {"suspended_rule": rule, "leak_reports": leak}
        for rule, leak in product(rules, LEAK_REPORTS)
    ]


_ASSUMED_FIELDS: dict[str, Callable[[], Iterable[dict[str, Any]]]] = {
    "calendar": _iter_assumed_calendars,
    "overview": _iter_assumed_overviews,
}
