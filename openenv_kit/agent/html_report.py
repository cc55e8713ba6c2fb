"""The HTML report of a run: one file that loads nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from jinja2 import Environment as Templates
from jinja2 import PackageLoader, StrictUndefined

from openenv_kit.agent.results import EpisodeResult, RunResult
from openenv_kit.agent.secrets import Clean
from openenv_kit.agent.stdout import one_line
from openenv_kit.agent.table import MODEL_CALL, Event
from openenv_kit.environment import ERROR

MAX_DETAILED = 200
"""Episodes drawn one by one; the table holds them all."""
TICK_PERCENT = 0.9
"""Least width of a tool call on the timeline, in percent of it."""
MAX_NOTE = 300
STYLE = Path(__file__).with_name("report.css")

Mark = tuple[str, float, float, str]
"""Kind of an event, its left edge and width in percent of the timeline, and its title."""


def write_report(result: RunResult, path: Path, clean: Clean) -> None:
    """Write the report; its folder is created if it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(clean(report_html(result)), encoding="utf-8")


def report_html(result: RunResult) -> str:
    """The whole page."""
    templates = Templates(
        loader=PackageLoader("openenv_kit.agent", "."), autoescape=True, undefined=StrictUndefined
    )
    detailed = result.episodes[:MAX_DETAILED]
    return templates.get_template("report.html.jinja").render(
        run=result,
        cards=_cards(result),
        detailed=[(each, _timeline(each)) for each in detailed],
        hidden=len(result.episodes) - len(detailed),
        style=STYLE.read_text(encoding="utf-8"),
        steps=_steps,
    )


def _cards(result: RunResult) -> list[tuple[str, str]]:
    cards = [
        ("average score", f"{result.average:.4f}"),
        ("episodes", f"{len(result.episodes)} of {result.planned}"),
        ("did not run", str(result.failed)),
        ("wall time", f"{result.seconds:.1f} s"),
    ]
    if result.tokens or not result.player.startswith("scripted:"):
        cost = "unknown" if result.cost is None else f"$ {result.cost:.4f}"
        cards += [("tokens", f"{result.tokens:,}"), ("cost", cost)]
    return cards


def _steps(events: Iterable[Event]) -> Iterator[tuple[int | str, Event, str]]:
    """Number (nothing for the model's answers), event and note of each line."""
    step = 0
    for event in events:
        model = event.kind == MODEL_CALL
        step += not model
        yield "" if model else step, event, one_line(event.note, MAX_NOTE)


def _timeline(episode: EpisodeResult) -> tuple[float, list[list[Mark]]] | None:
    """Length in seconds; lanes of the model's answers and of the tool calls."""
    events = episode.events
    if not events:
        return None
    length = max(max(each.start_s + each.duration_s for each in events), 1e-6)
    answers = [each for each in events if each.kind == MODEL_CALL]
    calls = [each for each in events if each.kind != MODEL_CALL]
    spans = [(100 * e.start_s / length, 100 * e.duration_s / length) for e in answers]
    lanes = (zip(answers, spans, strict=True), zip(calls, _ticks(calls, length), strict=True))
    return length, [[_mark(event, *span) for event, span in lane] for lane in lanes]


def _mark(event: Event, left: float, width: float) -> Mark:
    kind = ERROR if event.status == ERROR else event.kind
    return kind, left, width, f"{event.label} · {event.duration_s * 1000:.0f} ms"


def _ticks(calls: Sequence[Event], length: float) -> list[tuple[float, float]]:
    """Left edge and width of each tool call, in percent.

    Calls take a millisecond and come in groups; each is drawn wide enough to be seen, and beside
    the one before it.
    """
    least = min(TICK_PERCENT, 100 / max(len(calls), 1))
    widths = [max(100 * each.duration_s / length, least) for each in calls]
    lefts: list[float] = []
    free = 0.0
    for each, width in zip(calls, widths, strict=True):
        lefts.append(max(free, 100 * each.start_s / length))
        free = lefts[-1] + width
    limit = 100.0
    for at in range(len(calls) - 1, -1, -1):  # what was pushed past the end comes back
        lefts[at] = max(min(lefts[at], limit - widths[at]), 0.0)
        limit = lefts[at]
    return list(zip(lefts, widths, strict=True))
