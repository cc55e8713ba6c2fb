"""The change log: deploys, settings, flags and the like, without their hidden effects."""

from __future__ import annotations

from collections.abc import Collection
from typing import cast

from firewatch_next.changes.change import Change, ChangeKind
from firewatch_next.telemetry.limits import Table, build_reply, cut_text
from firewatch_next.telemetry.view import TICKS_PER_MINUTE, TelemetryView

MAX_WINDOW_MINUTES = 1_440
_MAX_DETAIL_CHARACTERS = 60


def list_visible_changes(
    view: TelemetryView, services: Collection[str], first_tick: int
) -> list[Change]:
    """Return the changes of some services that have happened since a tick, oldest first."""
    changes = cast("list[Change]", view.world.changes)
    return [c for c in changes if c.service in services and first_tick <= c.tick <= view.tick]


def list_changes(
    view: TelemetryView,
    services: Collection[str],
    kind: ChangeKind | None,
    window_minutes: int,
) -> str:
    """Return the reply with the change log of some services, newest first.

    A change made by a player of the episode is listed too and can be undone.
    """
    first = view.tick - window_minutes * TICKS_PER_MINUTE
    found = [c for c in list_visible_changes(view, services, first) if kind in (None, c.kind)]
    found.reverse()
    subject = next(iter(services)) if len(services) == 1 else "all services"
    window = f"the last {window_minutes} min"
    if not found:
        return build_reply(f"{subject} no {kind or 'change'} in {window}", (), view.max_characters)
    newest = found[0]
    headline = (
        f"{subject} {len(found)} in {window}, newest {newest.id} {view.clock(newest.tick)} "
        f"{newest.kind} {newest.title}"
    )
    table = Table(
        (
            "id", "time", "minutes_ago", "kind", "service", "title", "key", "before", "after",
            "migration", "author", "state", "details",
        ),
        [_make_row(view, change) for change in found],
    )  # fmt: skip
    return build_reply(
        headline, table.format_lines(), view.max_characters, hint="name a service, kind or window"
    )


def _make_row(view: TelemetryView, change: Change) -> tuple[str | float, ...]:
    state = "undone" if change.id in view.world.undone_changes else "active"
    return (
        change.id,
        view.clock(change.tick),
        view.minutes_since(change.tick),
        change.kind.value,
        change.service,
        change.title,
        change.key,
        change.before,
        change.after,
        change.migration.value,
        "you" if change.is_of_player else change.author,
        state,
        cut_text(change.details, _MAX_DETAIL_CHARACTERS),
    )
