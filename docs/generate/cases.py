"""Worked cases of drill-down: each a real episode, the calls that solve it, and a picture.

Which episode shows a case is remembered in `cases.json`. Where a generator's change made it show
something else, `found` looks for another one, and `python -m docs.generate` writes it down.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
from matplotlib import style
from matplotlib.figure import Figure
from numpy.typing import NDArray

from docs.generate.charts import BAND, LINE, MUTED, ROOT, SECOND, STYLE, add_legend
from metric_tracker_rl.drilldown.building import generate
from metric_tracker_rl.drilldown.causes import counted
from metric_tracker_rl.drilldown.config import DrillConfig
from metric_tracker_rl.drilldown.cube import segment_of
from metric_tracker_rl.drilldown.definition import Root
from metric_tracker_rl.drilldown.domains import DOMAINS
from metric_tracker_rl.drilldown.episode import Episode
from metric_tracker_rl.drilldown.generator import Draw

PINS = Path(__file__).with_name("cases.json")
SEEDS = range(200)
"""Where a case is looked for, on every product, if its remembered episode shows it no longer."""

WIDTH = 100
"""Longest line of code."""

Counts = NDArray[np.int32]


class CaseError(ValueError):
    """No episode shows a case."""


@dataclass(frozen=True)
class Panel:
    """One series of a picture.

    Attributes:
        title: what it is.
        cell: whose counts.
        into, of: stages; the series is their quotient, or the count of the first alone.
        outside: whether everybody else is meant.
    """

    title: str
    cell: int
    into: int
    of: int | None = None
    outside: bool = False


@dataclass(frozen=True)
class Scene:
    """What shows a case in an episode.

    Attributes:
        roots: those that it is about.
        panels: series worth drawing.
        steps: code that a reader runs, after the reset and before the report.
        marks: at most two days of the change log to draw, by what they are called.
    """

    roots: tuple[Root, ...]
    panels: tuple[Panel, ...]
    steps: str
    marks: Mapping[str, int]


@dataclass(frozen=True)
class Found:
    """A case in its episode."""

    config: DrillConfig
    draw: Draw
    episode: Episode
    scene: Scene


@dataclass(frozen=True)
class Case:
    """One case.

    Attributes:
        name: of its section and picture.
        level, causes: of the episodes in which it is looked for.
        scene: what shows it in an episode; None where nothing does.
    """

    name: str
    level: str
    causes: int
    scene: Callable[[Draw, Episode], Scene | None]


HELPERS = '''\
from datetime import date, timedelta

from metric_tracker_rl.environment import ENVIRONMENT

session = ENVIRONMENT.session()


def call(tool, **arguments):
    """What a tool tells."""
    reply = session.step({"analysis_method": tool, "analysis_args": arguments})
    return reply.content["analysis_result"]["result"]


def beside_usual(run, stages, group_by=(), **asked):
    """Print a rate, or visits a day, beside those of the same weekdays in the other weeks."""
    known = call("overview")
    weeks = [
        [str(date.fromisoformat(day) + timedelta(weeks=each)) for day in run]
        for each in range(-7, 8)
        if each
    ]
    others = [w for w in weeks if known["first_date"] <= w[0] and w[1] <= known["last_date"]]
    asked |= {"group_by": list(group_by), "stages": stages}
    reply = call("compare", dates=[run], reference=others, **asked)
    for row in reply["rows"]:
        names, counts = row[: len(group_by)], row[len(group_by) :]
        below = counts[:2] if len(stages) == 2 else reply["days"].values()
        now, usual = (count / of for count, of in zip(counts[-2:], below))
        name = ", ".join(names) or ("these people" if asked.get("where") else "everybody")
        form = "10.4f" if len(stages) == 2 else "10,.0f"
        print(f"{name:22}{now:{form}}, usual{usual:{form}}: {now / usual - 1:+.1%}")


def report(*rows):
    """Submit rows, and print what each root of the episode is credited with."""
    reply = session.step({"analysis_method": "submit_report", "analysis_args": {"rows": rows}})
    for root in reply.content["reward_breakdown"].roots:
        print(f"{root['root']['kind']} of {root['root']['segment']}: {root['credit']}")
'''


def section(case: Case) -> str:
    """Markdown of a case: its episode, the calls, what they print, the picture."""
    shown = found(case)
    code = code_of(shown)
    config, dates = shown.config, shown.episode.dates
    root = shown.scene.roots[0]
    words = "cause" if config.causes == 1 else "causes"
    place = (
        f"Level `{config.difficulty}`, product `{config.product}`, seed {config.seed}, "
        f"{config.causes} planned {words}; {dates[root.first]} to {dates[root.last]}."
    )
    return "\n\n".join(
        [
            place,
            f"```python\n{code}```",
            "It prints:",
            f"```text\n{printed(code)}```",
            f"![{case.name.replace('-', ' ')}](assets/case-{case.name}.png)",
        ]
    )


def code_of(shown: Found) -> str:
    """The code of a case: the reset, the calls that show it, the report."""
    config, episode, scene = shown.config, shown.episode, shown.scene
    settings = {
        "difficulty": config.difficulty,
        "product": config.product,
        "seed": config.seed,
        "causes": config.causes,
        "feedback": "full",
    }
    given = [f"{name}={json.dumps(value)}" for name, value in settings.items()]
    run = [episode.dates[scene.roots[0].first], episode.dates[scene.roots[0].last]]
    segments = [segment_of(episode.domain, root.cell) for root in scene.roots]
    rows = [
        row.as_dict()
        for segment in segments
        for row in episode.expected_rows
        if dict(row.segment) == segment and row.date_from == run[0]
    ]
    told = "".join(
        "    {\n"
        + "".join(f"        {json.dumps(k)}: {json.dumps(v)},\n" for k, v in row.items())
        + "    },\n"
        for row in rows
    )
    return (
        f"{written('session.reset', given)}"
        f"run = {json.dumps(run)}\n\n{scene.steps}\nreport(\n{told})\n"
    )


def written(name: str, arguments: Sequence[str]) -> str:
    """A call as a formatter would write it, with its line's end."""
    inside = ", ".join(arguments)
    if len(name) + len(inside) + 2 <= WIDTH:
        return f"{name}({inside})\n"
    if len(inside) + 4 <= WIDTH:
        return f"{name}(\n    {inside}\n)\n"
    return f"{name}(\n" + "".join(f"    {each},\n" for each in arguments) + ")\n"


def printed(code: str) -> str:
    """What a case's code prints."""
    out = io.StringIO()
    namespace: dict[str, object] = {"__name__": "__page__"}
    with redirect_stdout(out):
        exec(compile(HELPERS + code, "case", "exec"), namespace)
    return out.getvalue()


def picture(case: Case) -> Figure:
    """Small multiples: each series as counted, and with the case's effect undone."""
    return picture_of(found(case))


@style.context(STYLE)
def picture_of(shown: Found) -> Figure:
    """The same of a case that was found."""
    draw, episode, scene = shown.draw, shown.episode, shown.scene
    sides = (draw.counts, undone(shown))
    figure = Figure(figsize=(7.5, 1.2 * len(scene.panels) + 0.4), layout="constrained")
    grid = figure.subplots(len(scene.panels), 2, sharey="row", sharex=True, squeeze=False)
    root = scene.roots[0]
    for axes_row, panel in zip(grid, scene.panels, strict=True):
        axes_row[0].set_title(panel.title, fontsize=8, fontweight="normal")
        axes_row[1].set_title("with the effect undone", fontsize=8, fontweight="normal")
        for axes, counts in zip(axes_row, sides, strict=True):
            values = series(panel, episode, counts)
            usual = np.tile(np.median(values.reshape(-1, 7), axis=0), len(values) // 7)
            axes.axvspan(root.first - 0.5, root.last + 0.5, color=BAND, label="the root's days")
            axes.plot(usual, color=MUTED, linestyle="--", linewidth=1, label="same-weekday median")
            axes.plot(values, color=LINE, linewidth=1.2, label="daily value")
            for (name, day), colour in zip(scene.marks.items(), (ROOT, SECOND), strict=False):
                axes.axvline(day, color=colour, linestyle=":", linewidth=1.5, label=name)
            axes.margins(x=0.02)
            axes.grid(axis="y")
            axes.yaxis.set_major_formatter("{x:,.10g}")
            axes.tick_params(labelsize=7)
            axes.set_xticks(range(0, len(values), 14), episode.dates[::14])
    add_legend(figure)
    return figure


def series(panel: Panel, episode: Episode, counts: Counts) -> NDArray[np.float64]:
    """Daily values of a panel."""
    members = episode.cube.member[panel.cell] ^ panel.outside
    into, *of = (
        counts[members, stage].sum(axis=0).astype(np.float64)
        for stage in (panel.into, panel.of)
        if stage is not None
    )
    return np.asarray(into / of[0] if of else into)


def undone(shown: Found) -> Counts:
    """The counts of an episode without the causes of the case's roots, under the same noise."""
    roots, draw = set(shown.scene.roots), shown.draw
    others = [cause for cause in draw.causes if not roots & set(cause.roots)]
    return counted(shown.episode.cube, draw.clean, others)


@cache
def found(case: Case) -> Found:
    """The case in its remembered episode, or in the first one that shows it.

    Raises:
        CaseError: none does.
    """
    for config in (*remembered(case), *candidates(case)):
        draw, episode = generate(config)
        if scene := case.scene(draw, episode):
            return Found(config, draw, episode, scene)
    raise CaseError(f"{case.name}: no seed below {SEEDS.stop} shows it on {case.level}")


def remembered(case: Case) -> Sequence[DrillConfig]:
    """The episode of the last time, if there was one."""
    pins = json.loads(PINS.read_text()) if PINS.exists() else {}
    return [DrillConfig(**pins[case.name])] if case.name in pins else []


def candidates(case: Case) -> list[DrillConfig]:
    """Episodes in which a case is looked for, in order."""
    places = product(SEEDS, DOMAINS)
    return [DrillConfig(seed, case.level, name, case.causes) for seed, name in places]


def pinned(cases: Mapping[str, Case]) -> str:
    """What `cases.json` has to hold."""
    told = {name: asdict(found(case).config) for name, case in cases.items()}
    return json.dumps(told, indent=1) + "\n"
