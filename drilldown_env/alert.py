"""The alert that an episode begins with: one thing that moved, in a colleague's words.

It names step, direction, people and calendar week of the largest deviation from the same weekday's
median over everybody and all single values, and never a size. Later steps are judged by their
rates, so it says conversion, not counts: after lost events a rate rises and the count stands still.
Where nothing happened it is noise, in the same words: so they name no cause. It is never about what
the calendar announces.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import numpy as np

from drilldown_env.change_log import Event
from drilldown_env.channel import Channel, variance
from drilldown_env.config import DAYS
from drilldown_env.cube import cube_of
from drilldown_env.domain import Domain
from openenv_kit.bitstream import BitStream


def largest(channels: Sequence[Channel], events: Sequence[Event]) -> tuple[int, int, int, float]:
    """Channel, cell and day of the largest |z|, ties to the first in this order, and its z."""
    simple = channels[0].cube.simple
    table = np.zeros((len(channels), simple, DAYS))
    for channel in channels:
        weight, surplus = channel.weight[:simple], channel.surplus[:simple]
        table[channel.number] = surplus / np.sqrt(variance(weight, channel.floor2))
    for event in events:
        table[0, :, event.first : event.last + 1] = 0.0
    place = int(np.argmax(np.abs(table)))
    number, rest = divmod(place, simple * DAYS)
    cell, day = divmod(rest, DAYS)
    return number, cell, day, float(table[number, cell, day])


def draw_alert(
    domain: Domain,
    first_date: dt.date,
    channels: Sequence[Channel],
    events: Sequence[Event],
    stream: BitStream,
) -> str:
    """The alert of a draw, as a player reads it; the stream only chooses the words."""
    stage, cell, day, z = largest(channels, events)
    monday = first_date + dt.timedelta(days=day - day % 7)
    week = f"in the week of {monday.day} {monday:%B}"
    what = subject(domain.stages, stage)
    of_whom, overall = "", " overall"
    for axis, value in cube_of(domain.shape).fixed_by(cell).items():
        of_whom, overall = f" {domain.dims[axis].people(domain.dims[axis].names[value])}", ""
    rises = z > 0.0
    was, look = ("was", "looks") if stage else ("were", "look")
    text = stream.choose(
        (
            f"{what}{of_whom} {was} unusually {'high' if rises else 'low'}{overall} {week}.",
            f"did {what}{of_whom} {'go up' if rises else 'drop'}{overall} {week}?",
            f"{what}{of_whom} {look} {'high' if rises else 'low'}{overall} {week}.",
        )
    )
    return text[0].upper() + text[1:]


def subject(stages: Sequence[str], stage: int) -> str:
    """What an alert about a step speaks of: who comes, or the rate into a later stage."""
    before, here = (stages[k].replace("_", " ") for k in (stage - 1, stage))
    return f"conversion from {before} to {here}" if stage else here
