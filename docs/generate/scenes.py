"""What shows each worked case: which episodes have it, which calls, which series."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import numpy as np

from docs.generate.cases import Case, Panel, Scene, written
from metric_tracker_rl.drilldown.change_log import LAG, change_of
from metric_tracker_rl.drilldown.config import DAYS
from metric_tracker_rl.drilldown.cube import cell_of_segment, segment_of
from metric_tracker_rl.drilldown.definition import Root
from metric_tracker_rl.drilldown.domains import TRACKING
from metric_tracker_rl.drilldown.episode import Episode
from metric_tracker_rl.drilldown.generator import Draw
from metric_tracker_rl.drilldown.levels import LOSS, MIX, RATE

LEAST_ECHO = 0.008
"""Least change of a rate that is worth a picture of a composition effect."""
STILL = 0.008
"""Most that everybody may change where a mix shift is to be seen."""
SHORTEST_ECHO = 4
"""Fewest days of one: a single day's rate wobbles by half as much."""


def composition(draw: Draw, episode: Episode) -> Scene | None:
    """Other people come, and a wider segment's rate moves while no part's rate does."""
    root = only_root(draw, MIX)
    if root is None or root.last - root.first + 1 < SHORTEST_ECHO:
        return None
    cube = episode.cube
    changes = {
        (cell, stage): change(episode, root, cell, stage)
        for cell in np.flatnonzero(
            cube.within[root.cell] & (cube.fixed < cube.fixed[root.cell])
        ).tolist()
        for stage in range(1, 5)
    }
    (cell, stage), most = max(changes.items(), key=lambda each: abs(each[1]))
    inside = np.flatnonzero(cube.within[:, cell] & (cube.fixed == cube.fixed[root.cell]))
    parts_alike = cube.values[inside][:, cube.values[root.cell] < 0] < 0
    still = [change(episode, root, part, stage) for part in inside[parts_alike.all(axis=1)]]
    if abs(most) < LEAST_ECHO or max(map(abs, still)) > abs(most) / 2:
        return None
    first, *_ = stages = episode.domain.stages
    step = [stages[stage - 1], stages[stage]]
    wide, segment = (segment_of(episode.domain, each) for each in (cell, root.cell))
    parts = [name for name in segment if name not in wide]
    return Scene(
        roots=(root,),
        panels=(
            Panel(f"rate into {stages[stage]}: {named(wide)}", cell, stage, stage - 1),
            Panel(f"rate into {stages[stage]}: {named(segment)}", root.cell, stage, stage - 1),
            Panel(f"{first}: {named(segment)}", root.cell, 0),
        ),
        steps="# A rate moves ...\n"
        + look(step, where=wide)
        + "# ... but in none of its parts:\n"
        + look(step, parts, wide)
        + "# Other people came:\n"
        + look([first], parts, wide),
        marks={},
    )


def mix_shift(draw: Draw, episode: Episode) -> Scene | None:
    """A segment's traffic moves, and everybody else moves against it."""
    root = next((root for root in draw.roots if root.kind == MIX), None)
    if root is None or episode.cube.fixed[root.cell] > 1:
        return None
    total = episode.counts[:, 0].sum(axis=0).reshape(-1, 7).astype(float)
    beside = (total / total.mean(axis=0)).ravel()[root.first : root.last + 1]
    if abs(beside.mean() - 1.0) > STILL:
        return None
    first, segment = episode.domain.stages[0], segment_of(episode.domain, root.cell)
    return Scene(
        roots=(root,),
        panels=(
            Panel(f"{first}: everybody", episode.cube.everybody, 0),
            Panel(f"{first}: {named(segment)}", root.cell, 0),
            Panel(f"{first}: everybody else", root.cell, 0, outside=True),
        ),
        steps="# The total stands still ...\n"
        + look([first])
        + "# ... while one segment moves and all others move against it:\n"
        + look([first], list(segment)),
        marks={},
    )


def cancelling_pair(draw: Draw, episode: Episode) -> Scene | None:
    """Two segments' rates move against each other, and what holds both stands still."""
    for run in draw.runs:
        roots = [
            root
            for root in draw.roots
            if root.kind == RATE and (root.stage, root.first) == (run.channel, run.first)
        ]
        longer, signs = run.stop - run.first > 1, {factor > 1.0 for factor in run.factors}
        if len(roots) == 2 and longer and len(signs) == 2:
            break
    else:
        return None
    stage, stages = run.channel, episode.domain.stages
    step = [stages[stage - 1], stages[stage]]
    one, other = (segment_of(episode.domain, root.cell) for root in roots)
    common = {name: value for name, value in one.items() if other.get(name) == value}
    both = cell_of_segment(episode.domain, common)
    steps = "# What holds both segments stands still:\n" + look(step, where=common)
    for segment in (one, other):
        *kept, split = sorted(segment, key=lambda name: name not in common)
        steps += "# Narrower, one value moves and those beside it do not:\n"
        steps += look(step, [split], {name: segment[name] for name in kept})
    rate = f"rate into {stages[stage]}"
    return Scene(
        roots=tuple(roots),
        panels=(
            Panel(f"{rate}: {named(common)}", both, stage, stage - 1),
            *(
                Panel(f"{rate}: {named(each)}", root.cell, stage, stage - 1)
                for each, root in zip((one, other), roots, strict=True)
            ),
        ),
        steps=steps,
        marks={},
    )


def tracking_loss(draw: Draw, episode: Episode) -> Scene | None:
    """The rate into a stage falls, and the rate out of it rises by the inverse."""
    root = only_root(draw, LOSS)
    if root is None:
        return None
    stage, stages = root.stage, episode.domain.stages
    before, lost, after = stages[stage - 1 : stage + 2]
    segment = segment_of(episode.domain, root.cell)
    return Scene(
        roots=(root,),
        panels=(
            Panel(f"rate into {lost}: {named(segment)}", root.cell, stage, stage - 1),
            Panel(f"rate out of {lost}: {named(segment)}", root.cell, stage + 1, stage),
            Panel(f"{after} of {before}: {named(segment)}", root.cell, stage + 1, stage - 1),
        ),
        steps="# The rate into a stage falls ...\n"
        + look([before, lost], where=segment)
        + "# ... and the rate out of it rises by the inverse:\n"
        + look([lost, after], where=segment)
        + "# Over both steps nobody is missing:\n"
        + look([before, after], where=segment),
        marks={},
    )


def decoy_release(draw: Draw, episode: Episode) -> Scene | None:
    """A release of the right component at the right time reaches other people."""
    root = only_root(draw, RATE) or only_root(draw, LOSS)
    cube, domain = episode.cube, episode.domain
    if root is None:
        return None
    component = TRACKING if root.kind == LOSS else domain.components[root.stage]
    timely = [
        entry
        for entry in draw.log
        if entry.component == component and 0 <= root.first - entry.day <= LAG
    ]
    answer_id = change_of(cube, domain, root, draw.log)
    answer = next((entry for entry in timely if entry.id == answer_id), None)
    decoys = [entry for entry in timely if cube.meet[entry.cell, root.cell] < 0]
    if answer is None or not decoys or decoys[0].day == answer.day:
        return None
    decoy = decoys[0]
    stage, stages = root.stage, domain.stages
    step = [stages[stage - 1], stages[stage]]
    segment, scope = (segment_of(domain, each) for each in (root.cell, decoy.cell))
    rate = f"rate into {stages[stage]}"
    return Scene(
        roots=(root,),
        panels=(
            Panel(f"{rate}: {named(segment)}", root.cell, stage, stage - 1),
            Panel(f"{rate}: {named(scope)}", decoy.cell, stage, stage - 1),
        ),
        steps=_entries_near(component, segment)
        + "\n# The segment moves, and the people of the other release do not:\n"
        + look(step, where=segment)
        + look(step, where=scope),
        marks={"the decoy": decoy.day, "the answer": answer.day},
    )


def _entries_near(component: str, segment: Mapping[str, str]) -> str:
    """Code that prints a component's entries around a run, and why each does or does not answer."""
    return f"""\
# Entries of the step's component around the run:
segment = {json.dumps(segment)}
for entry in call("change_log")["entries"]:
    before = (date.fromisoformat(run[0]) - date.fromisoformat(entry["date"])).days
    if entry["component"] == "{component}" and -3 <= before <= 9:
        holds = entry["scope"].items() <= segment.items()
        verdict = "answers" if holds and 0 <= before <= 2 else "does not"
        print(f"{{entry['id']}} {{before:2}} days before, {{entry['scope']}}: {{verdict}}")
"""


def only_root(draw: Draw, kind: str) -> Root | None:
    """The root of an episode that has one of this kind and no other."""
    return draw.roots[0] if [root.kind for root in draw.roots] == [kind] else None


def change(episode: Episode, root: Root, cell: int, stage: int) -> float:
    """Relative change of a rate over a root's days, beside the same weekdays of other weeks."""
    members = episode.cube.member[cell]
    below, into = (episode.counts[members, each].sum(axis=0) for each in (stage - 1, stage))
    inside = np.arange(root.first, root.last + 1)
    days = np.arange(DAYS)
    others = np.isin(days % 7, inside % 7) & ~np.isin(days, inside)
    usual = into[others].sum() / below[others].sum()
    return float(into[inside].sum() / below[inside].sum() / usual - 1.0)


def look(
    stages: Sequence[str], group_by: Sequence[str] = (), where: Mapping[str, str] | None = None
) -> str:
    """Code that prints a comparison."""
    parts = ["run", json.dumps(list(stages))]
    if group_by:
        parts.append(f"group_by={json.dumps(list(group_by))}")
    if where:
        parts.append(f"where={json.dumps(dict(where))}")
    return written("beside_usual", parts)


def named(segment: Mapping[str, str]) -> str:
    """A segment in a title."""
    return " × ".join(segment.values()) or "everybody"


CASES: dict[str, Case] = {
    case.name: case
    for case in (
        Case("composition", "drill_easy", 1, composition),
        Case("mix-shift", "drill_easy", 2, mix_shift),
        Case("cancelling-pair", "drill_easy", 1, cancelling_pair),
        Case("tracking-loss", "drill_easy", 1, tracking_loss),
        Case("decoy-release", "drill_easy", 1, decoy_release),
    )
}
"""Every case, in the order of its page."""
