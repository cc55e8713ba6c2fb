"""The reference: an analyst with a budget who reads tool answers only."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from drilldown_env.change_log import log_entries
from drilldown_env.episode import Episode
from drilldown_env.policies.reader import Names, Reader, SliceReader
from drilldown_env.policies.search import Search
from drilldown_env.policies.sql_reader import CountsReader, SqlReader
from drilldown_env.report import Row, read_report
from drilldown_env.tools import COUNTED, TOOLS, overview
from openenv_kit.rollouts.policies import Action, ObservationJson

EASY = "drill_easy"


def reader_of(opening: ObservationJson) -> Reader:
    """The reader for the tools of an episode."""
    config = opening["config"]
    names = Names(config)
    return (
        SqlReader(names)
        if "sql" in config
        else SliceReader(names, pairs=config["difficulty"] != EASY)
    )


def search(opening: ObservationJson) -> Generator[Action, ObservationJson, list[dict[str, Any]]]:
    """Ask until everything suspicious is looked into; returns the rows of the report."""
    return (yield from Search(reader_of(opening)).run())


def reference(opening: ObservationJson) -> Generator[Action, ObservationJson, None]:
    """Weeks of single values and pairs, then days, then who; composition held fixed."""
    rows = yield from search(opening)
    yield {"tool": "submit_report", "arguments": {"rows": rows}}


def solves(episode: Episode) -> bool:
    """Whether the reference finds exactly the right report within the budget."""
    rows, calls = played(episode)
    right = sorted(read_report(rows, episode.domain, episode.dates, episode.log))
    return right == sorted(episode.expected_rows) and calls <= episode.config.level.budget


def played(episode: Episode) -> tuple[list[Row], int]:
    """The reference's report on an episode, and the calls that it takes.

    Where counts are read by SQL no query is run; see `CountsReader`.
    """
    config, calls = overview(episode), 0
    reader = reader_of({"config": config})
    if episode.config.level.sql:
        log = log_entries(episode.domain, episode.dates, episode.log)
        reader = CountsReader(reader.names, episode.counts, log)
    player = Search(reader).run()
    try:
        action = next(player)
        while True:
            tool = TOOLS[action["tool"]]
            calls += tool.name in COUNTED
            result = tool.call(episode, action["arguments"])
            action = player.send({"result": result})
    except StopIteration as end:
        if isinstance(reader, CountsReader):
            calls = reader.calls
        return [Row(**row) for row in end.value], calls
