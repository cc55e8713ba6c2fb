"""Policies that do not investigate: random, empty."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drilldown_next.policies.replies import (
    EpisodeDescription,
    list_single_values,
    parse_log,
    request,
    submit,
)
from openenv_kit.bitstream import BitStream
from openenv_kit.rollouts.policies import ObservationJson, PolicySteps

MAX_RANDOM_DAYS = 10
"""Longest run of days in a random row; the shortest has 3."""


def generate_random_report(observation: ObservationJson, stream: BitStream) -> PolicySteps:
    """Submit a report of random legal values.

    Args:
        observation: observation of the reset.
        stream: source of the random numbers.
    """
    episode = EpisodeDescription.from_observation(observation)
    log = parse_log((yield from request("change_log")))
    changes = ["unattributed", *(line.id for line in log)]
    fewest, most = (int(text) for text in episode.config["roots"].split(" to "))
    count = fewest + stream.integer_below(most - fewest + 1)
    rows = [draw_row(episode, changes, stream) for _ in range(count)]
    distinct = {str(sorted(row.items(), key=str)[1:]): row for row in rows}
    yield submit(list(distinct.values()))


def draw_row(episode: EpisodeDescription, changes: list[str], stream: BitStream) -> dict[str, Any]:
    """Draw a legal report row without the fields that the alert gives."""
    config, dates = episode.config, episode.dates
    length = 3 + stream.integer_below(MAX_RANDOM_DAYS - 2)
    first = stream.integer_below(len(dates) - length + 1)
    fields = {
        "step": stream.choose(config["stages"][1:]),
        "segment": _draw_segment(config["dimensions"], config["difficulty"], stream),
        "date_from": dates[first],
        "date_to": dates[first + length - 1],
        "change": stream.choose(changes),
    }
    return {name: value for name, value in fields.items() if name not in episode.given}


def _draw_segment(
    dimensions: Mapping[str, list[str]], level: str, stream: BitStream
) -> dict[str, str]:
    """Draw one segment, each with the same probability; single values only where that is asked."""
    singles = list_single_values(dimensions)
    pairs = [
        {**one, **other}
        for number, one in enumerate(singles)
        for other in singles[number + 1 :]
        if one.keys() != other.keys()
    ]
    return stream.choose(singles if level in ("rung_1", "rung_2", "rung_3") else singles + pairs)
