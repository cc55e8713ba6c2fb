"""Parts of the incident that are HTML: headline, services, alerts, logs and what was done."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from firewatch_env.page.story import DURATION, Firing, Story
from firewatch_env.tools import GROUPS
from openenv_kit.page.components.elements import button_html, hint_html, table_html, value_html

SPARK = (72, 20)
"""Width and height of a small curve, in pixels."""


class Column(NamedTuple):
    """A metric in the table of services.

    Attributes:
        title: with the unit.
        factor: from the metric to that unit.
        top: value at the top of a curve; None for the highest of all services so far.
    """

    title: str
    key: str
    factor: float
    decimals: int
    top: float | None


FEWEST = 10
"""Ticks over which a small curve is wide, until more have passed."""
COLUMNS = (
    Column("5xx, %", "http_server_error_rate", 100, 1, 1.0),
    Column("p99, s", f"{DURATION}p99", 1, 3, None),
    Column("in flight", "http_server_active_requests", 1, 0, None),
    Column("CPU, %", "process_cpu_utilization", 100, 0, 1.0),
    Column("memory, %", "process_memory_utilization", 100, 0, 1.0),
)


def headline_html(story: Story) -> str:
    """Where the incident stands, in six numbers."""
    now = story.now
    burning = now["current_slo_burn_rate"] > 0
    tiles = {
        "tick": f"{now['sim_tick']} of {story.max_ticks}",
        "customers": "let down" if burning else "well",
        "budget left": f"{now['slo_budget_remaining_pct']:.1f} %",
        "burn rate": f"{now['current_slo_burn_rate']:.1f} ×",
        "bad customer-minutes": value_html(round(now["bad_customer_minutes"], 1)),
        "alerts": str(len(now["active_alerts"])),
    }
    bad = {"customers": burning, "burn rate": burning}
    cells = "".join(
        f'<div class="{"bad" if bad.get(name) else ""}"><dt>{name}</dt><dd>{value}</dd></div>'
        for name, value in tiles.items()
    )
    return f'<dl class="fw-headline">{cells}</dl>'


def services_html(story: Story, *, choose: bool = False) -> str:
    """Every service, from the entry to the leaves, with its metrics over ticks as small curves.

    Args:
        story: the play.
        choose: whether a click on a name chooses the service to look at.
    """
    rows = [_service_row(story, name, choose) for name in story.services]
    titles = ["service", *(column.title for column in COLUMNS)]
    return table_html(titles, rows, numeric_columns=range(1, len(titles)))


def _service_row(story: Story, name: str, choose: bool) -> list[str]:
    status = story.now["services"][name]["status"]
    label = f"<span>{escape(name)}</span>"
    if choose:
        label = button_html("pick", name, name, css_class="link", hint=f"Look at {name}")
    mark = ' aria-current="true"' if name == story.service else ""
    head = f'<div class="fw-service"{mark}>{label}<i class="fw-chip {status}">{status}</i></div>'
    return [head, *(_cell(story, name, column) for column in COLUMNS)]


def _cell(story: Story, name: str, column: Column) -> str:
    values = story.series(name, column.key)
    most = column.top or max(max(story.series(each, column.key)) for each in story.services)
    now = f"{values[-1] * column.factor:,.{column.decimals}f}"
    return f"{_spark(values, most)}<span>{now}</span>"


def _spark(values: Sequence[float], most: float) -> str:
    """A curve from tick 0 to now, its last point marked."""
    width, height = SPARK
    ticks = max(len(values) - 1, FEWEST)
    points = [
        (width * at / ticks, height - (height - 4) * min(value / (most or 1), 1) - 2)
        for at, value in enumerate(values)
    ]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    x, y = points[-1]
    return (
        f'<svg class="fw-spark" viewBox="-3 0 {width + 6} {height}" width="{width}" '
        f'height="{height}" aria-hidden="true"><polyline points="{line}"/>'
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.2"/></svg>'
    )


def alerts_html(story: Story) -> str:
    """Alerts as bars on a time line, below what was done."""
    ticks = story.max_ticks
    now = story.now["sim_tick"]
    lines = "".join(_firing(firing, now, ticks) for firing in story.firings)
    dots = "".join(
        f'<i class="fw-dot {move.group}" style="left:{100 * move.tick / ticks:.2f}%" '
        f'title="{escape(f"tick {move.tick}: {move.text}")}"></i>'
        for move in story.moves
    )
    step = 5 if ticks <= 20 else 10
    axis = "".join(
        f'<b style="left:{100 * tick / ticks:.2f}%">{tick}</b>'
        for tick in range(0, ticks + 1, step)
    )
    legend = "".join(f'<span><i class="fw-dot {name}"></i>{name}</span>' for name in GROUPS)
    return (
        f'<div class="fw-legend">{legend}</div><ol class="fw-line">'
        f'<li><p>What was done</p><div class="fw-track">{dots}{_cursor(now, ticks)}</div></li>'
        f'{lines}</ol><div class="fw-axis" aria-hidden="true">{axis}</div>'
        + ("" if story.firings else hint_html("No alert has fired."))
    )


def _firing(firing: Firing, now: int, ticks: int) -> str:
    alert, on = firing.alert, firing.last == now
    left, right = 100 * firing.first / ticks, 100 * min(firing.last + 1, ticks) / ticks
    when = f"since tick {firing.first}" if on else f"ticks {firing.first} to {firing.last}"
    return (
        f'<li class="{"" if on else "past"}"><p><b class="{escape(alert["severity"])}">'
        f"{escape(alert['severity'])}</b> {escape(alert['alertname'])} "
        f'{escape(alert["description"])} <small>{when}</small></p><div class="fw-track">'
        f'<span class="{escape(alert["severity"])}" style="left:{left:.2f}%;'
        f'width:{right - left:.2f}%"></span>{_cursor(now, ticks)}</div></li>'
    )


def _cursor(now: int, ticks: int) -> str:
    return f'<u style="left:{100 * now / ticks:.2f}%"></u>'


def logs_html(story: Story) -> str:
    """Log lines fetched so far of the service looked at."""
    lines = story.now["services"][story.service]["recent_logs"]
    if not lines:
        return hint_html(f"No logs of {story.service} fetched yet: fetch_logs costs a tick.")
    return lines_html(lines)


def lines_html(lines: Sequence[str]) -> str:
    """Log lines, errors and warnings in their colours."""
    rows = "".join(f'<li class="{_level(line)}">{escape(line)}</li>' for line in lines)
    return f'<ol class="fw-logs" tabindex="0" aria-label="Log lines">{rows}</ol>'


def _level(line: str) -> str:
    return next((level.lower() for level in ("ERROR", "WARN") if f" {level} " in line), "")
