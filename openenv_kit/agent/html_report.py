"""The HTML report of a run: one file that needs nothing else and asks the network for nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from metric_tracker_rl.rows import SCORE_PENALTIES, SCORE_SHARES
from openenv_kit.agent.outcome import EVALUATED, Outcome, RunSummary
from openenv_kit.agent.report_style import STYLE
from openenv_kit.agent.secrets import Clean
from openenv_kit.agent.stdout import one_line
from openenv_kit.agent.table import MODEL_CALL, Event

MAX_DETAILED = 200
"""Episodes drawn one by one; the table holds them all."""
TICK_PERCENT = 0.9
"""Least width of a tool call on the timeline, in percent of it."""
MAX_NOTE = 300
COUNTS = (
    "expected_rows",
    "matched_rows",
    "missing_rows",
    "extra_rows",
    "duplicate_rows",
    "invalid_rows",
)


def write_report(summary: RunSummary, path: Path, clean: Clean) -> None:
    """Write the report; its folder is made if it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(clean(report_html(summary)), encoding="utf-8")


def report_html(summary: RunSummary) -> str:
    """The whole page."""
    detailed = summary.outcomes[:MAX_DETAILED]
    hidden = len(summary.outcomes) - len(detailed)
    more = f"<p>{hidden} more episodes are in the table only.</p>" if hidden else ""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        # Whatever a model wrote into its arguments, the page can load nothing.
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>{escape(summary.player)} on {escape(summary.benchmark)}</title>"
        f"<style>{STYLE}</style></head><body><main>"
        f"<h1>{escape(summary.player)} <span>on {escape(summary.benchmark)}</span></h1>"
        f"{_cards(summary)}{_score_table(summary.outcomes)}"
        f"<h2>Episodes</h2>{_legend()}"
        f"{''.join(_episode(number, each) for number, each in enumerate(detailed))}{more}"
        "</main></body></html>\n"
    )


def _cards(summary: RunSummary) -> str:
    cards = [
        ("average score", f"{summary.average:.4f}"),
        ("episodes", f"{len(summary.outcomes)} of {summary.planned}"),
        ("did not run", str(summary.failed)),
        ("wall time", f"{summary.seconds:.1f} s"),
        ("tokens", f"{summary.tokens:,}"),
        ("cost", "unknown" if summary.cost is None else f"$ {summary.cost:.4f}"),
    ]
    if not summary.tokens and summary.player.startswith("scripted:"):
        cards = cards[:4]
    boxes = "".join(f"<div><b>{escape(v)}</b>{escape(k)}</div>" for k, v in cards)
    stopped = '<p class="bad">The run was interrupted.</p>' if summary.interrupted else ""
    return f'<section class="cards">{boxes}</section>{stopped}<p>{escape(summary.server)}</p>'


def _score_table(outcomes: Sequence[Outcome]) -> str:
    head = ("task", "status", "score", "rows", "steps", "seconds", "model calls", "tokens", "cost")
    rows = []
    for number, each in enumerate(outcomes):
        found = each.breakdown
        cells = (
            f'<a href="#episode-{number}">{escape(each.job.label)}</a>',
            escape(each.status),
            f"{_bar(each.score)} {each.score:.4f}",
            f"{found['matched_rows']} of {found['expected_rows']}" if found else "–",
            str(each.steps),
            f"{each.seconds:.2f}",
            str(each.usage.calls or "–"),
            f"{each.usage.total:,}" if each.usage.calls else "–",
            "–" if each.usage.cost is None else f"$ {each.usage.cost:.4f}",
        )
        rows.append(f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>")
    return (
        '<h2>Scores</h2><div class="wide"><table id="scores"><thead><tr>'
        f"{''.join(f'<th>{name}</th>' for name in head)}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _episode(number: int, outcome: Outcome) -> str:
    problem = f'<p class="bad">{escape(outcome.error)}</p>' if outcome.error else ""
    lost = (
        f"<p>The environment was lost and found again {outcome.reconnects} time(s).</p>"
        if outcome.reconnects
        else ""
    )
    is_open = " open" if number < 3 or outcome.status != EVALUATED else ""
    return (
        f'<details class="episode" id="episode-{number}"{is_open}>'
        f"<summary><b>{escape(outcome.job.label)}</b> {_bar(outcome.score)} "
        f"{outcome.score:.4f} · {outcome.steps} steps · {outcome.seconds:.2f} s</summary>"
        f"{problem}{lost}{_timeline(outcome)}{_breakdown(outcome)}{_steps(outcome.events)}</details>"
    )


def _legend() -> str:
    return (
        '<p class="legend"><i class="model"></i> the model thinks <i class="tool"></i> a tool runs '
        '<i class="error"></i> a call with an error</p>'
    )


def _timeline(outcome: Outcome) -> str:
    """Two lanes from the episode's start to its end: the model's answers, and the tool calls."""
    events = outcome.events
    if not events:
        return ""
    length = max(max(each.start_s + each.duration_s for each in events), 1e-6)
    answers = [each for each in events if each.kind == MODEL_CALL]
    calls = [each for each in events if each.kind != MODEL_CALL]
    spans = [(100 * e.start_s / length, 100 * e.duration_s / length) for e in answers]
    model = "".join(_mark(e, *span) for e, span in zip(answers, spans, strict=True))
    tools = "".join(_mark(e, *span) for e, span in zip(calls, _ticks(calls, length), strict=True))
    lane = f'<div class="lane">{model}</div>' if answers else ""
    return (
        f'<div class="timeline">{lane}<div class="lane">{tools}</div></div>'
        f'<div class="axis"><span>0 s</span><span>{length:.2f} s</span></div>'
    )


def _ticks(calls: Sequence[Event], length: float) -> list[tuple[float, float]]:
    """Left edge and width of each tool call, in percent.

    Calls take a millisecond and come in bunches; each is drawn wide enough to be seen, beside
    the one before it rather than on it.
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


def _mark(event: Event, left: float, width: float) -> str:
    kind = event.kind if event.status != "error" else "error"
    title = f"{event.label} · {event.duration_s * 1000:.0f} ms"
    return (
        f'<i class="{escape(kind)}" style="left:{left:.3f}%;width:{width:.3f}%" '
        f'title="{escape(title)}"></i>'
    )


def _breakdown(outcome: Outcome) -> str:
    found = outcome.breakdown
    if not found:
        return ""
    shares = "".join(
        f"<tr><td>{_words(name)}</td><td>{_bar(found[name])} {found[name]:.3f}</td></tr>"
        for name in SCORE_SHARES
    )
    penalties = "".join(
        f"<tr><td>{_words(name)}</td><td>−{found[name]:.2f}</td></tr>"
        for name in SCORE_PENALTIES
        if found[name]
    )
    counts = " · ".join(f"{_words(name)} {found[name]}" for name in COUNTS)
    return f'<table class="breakdown">{shares}{penalties}</table><p class="counts">{counts}</p>'


def _steps(events: Iterable[Event]) -> str:
    rows = []
    step = 0
    for event in events:
        model = event.kind == MODEL_CALL
        step += not model
        bad = ' class="bad"' if event.status == "error" else ""
        note = one_line(event.note, MAX_NOTE)
        note = f"<br><small>{escape(note)}</small>" if note else ""
        rows.append(
            f'<tr class="{escape(event.kind)}"><td>{"" if model else step}</td>'
            f"<td>{event.start_s:.2f}</td><td>{event.duration_s * 1000:.0f}</td>"
            f"<td{bad}><code>{escape(event.label)}</code>{note}</td>"
            f"<td>{'' if model else f'{event.reward:.2f}'}</td></tr>"
        )
    return (
        '<div class="wide"><table class="steps"><thead><tr><th>step</th><th>at s</th>'
        "<th>took ms</th><th>call</th><th>reward</th></tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _bar(share: float) -> str:
    return f'<span class="bar"><i style="width:{100 * min(max(share, 0.0), 1.0):.1f}%"></i></span>'


def _words(name: str) -> str:
    return escape(name.replace("_", " "))
