"""The score of a drill-down report: its parts in sentences, and a verdict on every row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from metric_tracker_rl.drilldown.episode import Episode
from metric_tracker_rl.drilldown.grade import REPEATED, SPENT, UNMET, UNREADABLE, row_credit
from metric_tracker_rl.drilldown.report import ReportRow, read_row
from metric_tracker_rl.page.drill.roots import told_roots
from metric_tracker_rl.page.drill.rows import COLUMNS, days_text, row_cells
from metric_tracker_rl.page.drill.story import Story, segment_text
from openenv_kit.errors import KitError
from openenv_kit.page.markup import bar, heading, hint, note, table, words
from openenv_kit.page.waterfall import Part, waterfall_html

Row = Mapping[str, Any]

DRAWN = "Below, each root: the days of its run are shaded, the same weekday's median is dotted."


def score_html(story: Story, episode: Episode) -> str:
    """The score, once the play is over, as far as its last reply told it."""
    last = story.frames[-1].observation
    if not last.get("done"):
        return ""
    told, score = story.breakdown, float(last.get("reward") or 0.0)
    perfect = " perfect" if score >= 1.0 else ""
    number = f'<div class="mt-score{perfect}"><strong>{score:.4f}</strong>'
    if told is None:  # the steps ran out
        body = f"{number}</div>{note(str(last.get('message', '')), 'bad')}"
        return f'<section class="mt-outcome">{heading("Score")}{body}</section>'
    if "roots" not in told:
        why = "This play was told its score and nothing else: it was started with feedback “score”."
        return f'<section class="mt-outcome">{heading("Score")}{number}</div>{hint(why)}</section>'
    roots = told_roots(told)
    return (
        f'<section class="mt-outcome">{heading("Score", "(matched − cost) / roots, at least 0")}'
        f"{number}<p>{_sum(told)}</p></div>{_waterfall(story, told, roots, episode, score)}"
        f"{_roots_html(roots)}"
        f"{verdicts_html(story.rows, roots, episode)}{hint(DRAWN) if roots else ''}</section>"
    )


def _sum(told: Mapping[str, Any]) -> str:
    if not told["roots"]:
        return "There was no root: the empty report scores 1, any other 0."
    return (
        f"= ({told['matched']:.4g} matched − {told['cost']:.4g} cost) / {len(told['roots'])} "
        f"root{'' if len(told['roots']) == 1 else 's'}"
    )


def _waterfall(
    story: Story,
    told: Mapping[str, Any],
    roots: Sequence[Mapping[str, Any]],
    episode: Episode,
    score: float,
) -> str:
    """What each root earned and each row cost, as shares of the score; at least 0."""
    if not roots:
        return ""
    parts = [
        Part(
            f"root {at}: {words(each['root']['kind'])}",
            each["credit"] / len(roots),
            _why(each["row"], each["root"], plain=True),
        )
        for at, each in enumerate(roots, start=1)
    ]
    if told["cost"]:
        said = (
            f"row {at} {verdict}"
            for at, (style, verdict) in enumerate(verdicts(story.rows, roots, episode), start=1)
            if style == "bad"
        )
        why = "; ".join(said)
        parts.append(Part("cost", -told["cost"] / len(roots), f"{why[:1].upper()}{why[1:]}."))
    below = sum(each.change for each in parts) < -1e-9
    return waterfall_html(parts, score, "A score is never below 0." if below else "")


def _roots_html(roots: Sequence[Mapping[str, Any]]) -> str:
    """Each root with what it earned, and why."""
    blocks = ""
    for number, each in enumerate(roots, start=1):
        root, row, credit = each["root"], each["row"], each["credit"]
        title = f"{number}. {words(root['kind'])} · {root['stage']}"
        blocks += (
            f'<section class="dd-root">{bar(title, credit, f"{credit:.2f}")}'
            f"<p>{escape(segment_text(root['segment']))}<br>{escape(days_text(root))}<br>"
            f"change: {escape(root['change'])}</p>"
            f"<p>{_why(row, root)}</p></section>"
        )
    return f'<div class="dd-roots">{blocks}</div>' if blocks else ""


def _why(row: Row | None, root: Row, *, plain: bool = False) -> str:
    """What was right and wrong about the row that met a root, as HTML or as plain text."""
    if row is None:
        return "Not found: no row meets it."
    wrong = []
    if dict(row["segment"]) != dict(root["segment"]):
        wrong.append(f"the segment only overlaps ({segment_text(row['segment'])})")
    if (row["date_from"], row["date_to"]) != (root["date_from"], root["date_to"]):
        wrong.append(f"the days only overlap ({days_text(row)})")
    wrong += [
        f"the {name} is not {words(row[name])}"
        for name in ("kind", "change")
        if row[name] != root[name]
    ]
    if not wrong:
        return "Found: segment, days, kind and change are right."
    told = wrong[0][0].upper() + "; ".join(wrong)[1:]
    return f"Found in part. {told if plain else escape(told)}."


def verdicts_html(rows: Sequence[Any], roots: Sequence[Mapping[str, Any]], episode: Episode) -> str:
    """Each submitted row with what it earned or cost."""
    if not rows:
        return hint("No row was submitted.")
    lines = [
        [f'<span class="mt-verdict {style}">{escape(said)}</span>', *row_cells(row)]
        for row, (style, said) in zip(rows, verdicts(rows, roots, episode), strict=True)
    ]
    return table(["verdict", *COLUMNS], lines, "Row by row")


def verdicts(
    rows: Sequence[Any], roots: Sequence[Mapping[str, Any]], episode: Episode
) -> list[tuple[str, str]]:
    """Style and words of the verdict on each row, in the order submitted.

    Args:
        rows: as submitted.
        roots: as the reply told them: each root, its credit and the row that earned it.
        episode: for its names.
    """
    right = [read_row(each["root"], episode) for each in roots]
    met = {read_row(each["row"], episode).place: at for at, each in enumerate(roots) if each["row"]}
    seen: set[tuple[object, ...]] = set()
    found = []
    for raw in rows:
        try:
            row = read_row(raw, episode)
        except KitError:
            found.append(("bad", f"cannot be read: costs {UNREADABLE:g}"))
            continue
        repeated, at = row.place in seen, met.get(row.place)
        seen.add(row.place)
        if repeated:
            found.append(("bad", f"repeats a place: costs {REPEATED:g}"))
        elif at is None:
            found.append(("bad", _unmet(row, right, episode)))
        else:
            credit = roots[at]["credit"]
            found.append(("good" if credit == 1 else "part", f"root {at + 1}: earns {credit:.2f}"))
    return found


def _unmet(row: ReportRow, roots: Sequence[ReportRow], episode: Episode) -> str:
    for at, root in enumerate(roots, start=1):
        if row_credit(row, root, episode.dates, episode.domain) > 0:
            return f"root {at} was answered by another row: costs {SPENT:g}"
    return f"meets no root: costs {UNMET:g}"
