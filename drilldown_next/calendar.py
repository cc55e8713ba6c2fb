"""The public calendar: announced losses, which are no roots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from drilldown_next.product import Product
from drilldown_next.segments import SegmentDays, build_segment_table
from openenv_kit.bitstream import BitStream

EVENTS = (
    "planned maintenance",
    "announced trial of a stricter check",
    "planned migration",
    "announced partner outage",
)
CALENDAR_COLUMNS = ("step", "segment", "date_from", "date_to", "event")


@dataclass(frozen=True)
class CalendarEntry:
    """An announced loss.

    Attributes:
        place: step, segment and days.
        event: what is announced, in words.
    """

    place: SegmentDays
    event: str


def draw_calendar(places: Sequence[SegmentDays], stream: BitStream) -> tuple[CalendarEntry, ...]:
    """Return an entry for each announced loss, by date."""
    ordered = sorted(places, key=lambda place: (place.first, place))
    return tuple(CalendarEntry(place, stream.choose(EVENTS)) for place in ordered)


def format_calendar(
    product: Product, dates: Sequence[str], calendar: Sequence[CalendarEntry]
) -> list[dict[str, object]]:
    """Return the calendar as players read it, with the keys of `CALENDAR_COLUMNS`."""
    segments = build_segment_table(product.shape).segments
    return [
        {
            "step": product.step_names[entry.place.step],
            "segment": product.name_segment(segments[entry.place.segment]),
            "date_from": dates[entry.place.first],
            "date_to": dates[entry.place.last],
            "event": entry.event,
        }
        for entry in calendar
    ]
