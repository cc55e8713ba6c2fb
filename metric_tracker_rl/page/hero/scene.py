"""The map in the page: for a visitor's own play, and for one that is watched."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from metric_tracker_rl.engine.candidates import candidates
from metric_tracker_rl.engine.rules import FULL_FEEDBACK, EpisodeView
from metric_tracker_rl.page.hero.heat import map_html
from metric_tracker_rl.page.hero.multiples import multiples_html
from metric_tracker_rl.page.hero.seen import Seen
from metric_tracker_rl.page.hero.verdicts import Verdict, verdicts
from metric_tracker_rl.page.state import FunnelVisitor
from openenv_kit.page.watching import Frame

WALK = "Arrow keys walk through the map."
PICK = "Arrow keys walk through the map, Enter selects the day."
OWN = "What your calls have told"
WATCHED = "What the player was told"
OVER = "The episode, and what the report got right"


def shown_of(
    view: EpisodeView, seen: Seen, rows: Sequence[Any], *, over: bool
) -> tuple[Seen, tuple[Verdict, ...], bool]:
    """What may be drawn: before the end what was told; after it everything, with verdicts.

    An episode that tells its score and nothing else keeps its data and its answer after the end.

    Args:
        view: of the episode.
        seen: what replies have told.
        rows: that were submitted; none where the steps ran out.
        over: whether the episode is.

    Returns:
        What is drawn, verdicts, and whether that is everything.
    """
    if not over or view.rules.feedback != FULL_FEEDBACK:
        return seen, (), False
    every = Seen.everything(view.episode, view.config)
    return every, tuple(verdicts(rows, view.episode)), True


def seen_in(view: EpisodeView, frames: Sequence[Frame]) -> Seen:
    """What the replies of a play have told."""
    seen = Seen(view.config)
    for frame in frames:
        answered = frame.observation.get("analysis_result")
        seen.latest = set()
        if answered:
            seen.read(answered)
    return seen


def watched_html(view: EpisodeView, frames: Sequence[Frame], day: str) -> str:
    """The map and the small multiples of a play that is watched.

    Args:
        view: of its episode.
        frames: up to the one that is looked at.
        day: that the player looked at last.
    """
    last = frames[-1]
    rows = submitted_rows(view, last)
    over = bool(last.observation.get("done"))
    seen, judged, everything = shown_of(view, seen_in(view, frames), rows, over=over)
    title = OVER if everything else WATCHED
    drawn = map_html(seen, day, title=title, says=WALK, verdicts=judged, over=everything)
    return drawn + multiples_html(seen, judged)


def submitted_rows(view: EpisodeView, frame: Frame) -> Sequence[Any]:
    """Rows that a player's last action handed in, in full; none where nothing was graded."""
    if not frame.observation.get("reward_breakdown"):
        return ()
    told = frame.observation.get("submitted_rows")
    if told is not None:
        return list(told)
    asked: Mapping[str, Any] = frame.action.get("analysis_args") or {}
    found = candidates(view.episode)
    named = [found[number - 1].row.as_dict() for number in asked.get("ids") or ()]
    return [*named, *(asked.get("rows") or frame.action.get("classifications") or ())]


def of_visitor(visitor: FunnelVisitor) -> tuple[Seen, tuple[Verdict, ...], bool]:
    """What a visitor's own charts may draw; see `shown_of`."""
    view, final = visitor.view, visitor.final
    graded = final is not None and "reward_breakdown" in final.content
    rows = visitor.handed if graded else []
    return shown_of(view, visitor.seen, rows, over=visitor.session.done)


def own(visitor: FunnelVisitor) -> tuple[str, str]:
    """The map and the small multiples of a visitor's own play."""
    seen, judged, everything = of_visitor(visitor)
    title = OVER if everything else OWN
    reported = () if everything else _places(visitor)
    drawn = map_html(
        seen,
        visitor.day,
        title=title,
        says=PICK,
        reported=reported,
        verdicts=judged,
        over=everything,
    )
    return drawn, multiples_html(seen, judged)


def _places(visitor: FunnelVisitor) -> Iterator[tuple[int, int]]:
    """Day and column of the rows in the report; a row may hold anything."""
    seen = visitor.seen
    for row in visitor.rows:
        day = seen.day(row.get("date"))
        column = seen.funnel.columns.get((str(row.get("entity_type")), str(row.get("entity_name"))))
        if day is not None and column is not None:
            yield day, column
