"""Episodes: what they promise about roots, alerts, the change log and the calendar."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from drilldown_env.alert import largest
from drilldown_env.baselines import Weekdays, by_stage
from drilldown_env.building import generate
from drilldown_env.causes import counted, roots_of_causes
from drilldown_env.change_log import (
    UNATTRIBUTED,
    Entry,
    Event,
    calendar_entries,
    change_of,
    draw_log,
    entry_id,
)
from drilldown_env.channel import TAU, channels_of
from drilldown_env.config import DAYS, DrillConfig
from drilldown_env.cube import cube_of, limited_to, roles_of
from drilldown_env.definition import Root, dissent, people_of, settle
from drilldown_env.domain import TRACKING, Dimension, Domain
from drilldown_env.domains import DOMAINS, WIDE_DOMAINS
from drilldown_env.environment import ENVIRONMENT
from drilldown_env.generator import attempt_draw, taken_back
from drilldown_env.levels import LEVELS, LOSS, MIX, RATE, TRAFFIC, Level
from drilldown_env.planner import WHOM, draw_wanted
from drilldown_env.policies.exploits import read_alert
from drilldown_env.policies.reader import Names
from drilldown_env.tasks import SPLITS
from drilldown_env.tools import overview
from drilldown_env.work import AUDIENCES, PAGE, PEOPLE, RELEASE, SOURCE, Work
from openenv_kit.bitstream import BitStream
from openenv_kit.errors import InvalidValueError, UnknownNameError

from .cases import EASY, EMPTY, FAINT, HARD, WIDE, episode

ALL = (EASY, FAINT, HARD, WIDE)
MIXED = DrillConfig(129, "drill", "ordering_app", 2)
"""Its first draw has a mix shift that hides another root."""


@pytest.mark.slow
@pytest.mark.parametrize("config", ALL)
def test_labels_are_a_function_of_the_counts_and_five_detectors_agree(config: DrillConfig) -> None:
    draw, made, _ = generate(config)
    cube, stages = cube_of(made.domain.shape), by_stage(made.counts)
    people = people_of(cube, stages)
    answer = settle(cube, stages, people)
    assert answer is not None
    assert answer.roots == roots_of_causes(draw.causes)
    assert len(made.expected_rows) == config.roots
    assert list(dissent(cube, stages, answer.roots)) == []


@pytest.mark.slow
@pytest.mark.parametrize("config", [EASY, HARD, MIXED])
def test_a_cause_taken_back_takes_its_roots_with_it(config: DrillConfig) -> None:
    draw, made, _ = generate(config)
    cube = cube_of(made.domain.shape)
    assert all(taken_back(cube, draw.clean, draw.causes, [each]) for each in draw.causes)


@pytest.mark.slow
@pytest.mark.parametrize("config", [EASY, FAINT, HARD])
def test_clear_roots_show_in_a_single_value_and_faint_ones_in_a_pair_only(
    config: DrillConfig,
) -> None:
    draw, made, _ = generate(config)
    cube, stages = cube_of(made.domain.shape), by_stage(made.counts)
    channels = channels_of(cube, stages, people_of(cube, stages), Weekdays(stages).median())
    planned = [cause for cause in draw.causes if not cause.announced]
    assert sum(cause.faint for cause in planned) == round(config.level.faint * config.roots)
    for cause in planned:
        effect = cause.effects[0]
        week = effect.first // 7, (effect.stop - 1) // 7
        z = np.max(
            [np.abs(channels[effect.channel].shown(slice(7 * w, 7 * w + 7))) for w in week], axis=0
        )
        held = cube.within[effect.cell] & (cube.fixed == 2)
        if cause.faint:
            assert np.max(z[: cube.simple]) < 3.0
            assert np.max(z[held]) >= 6.0
        elif cause.kind != MIX:
            assert np.max(z[: cube.simple][cube.within[effect.cell][: cube.simple]]) >= 5.0


@pytest.mark.slow
@pytest.mark.parametrize("config", [*ALL, EMPTY])
def test_the_alert_names_the_largest_deviation_and_no_size(config: DrillConfig) -> None:
    made = episode(config)
    cube, stages = cube_of(made.domain.shape), by_stage(made.counts)
    channels = channels_of(cube, stages, people_of(cube, stages), Weekdays(stages).median())
    stage, cell, day, z = largest(channels, made.events)
    read = read_alert(Names(overview(made)), made.alert)
    assert (read.stage, read.cell, read.rises) == (stage, cell, z > 0.0)
    assert read.days == range(day - day % 7, day - day % 7 + 7)
    assert not re.search(r"%|percent|half|twice", made.alert)
    assert dt.date.fromisoformat(made.dates[0]).weekday() == 0


def test_the_calendar_explains_two_things_that_are_no_roots() -> None:
    draw, made, _ = generate(HARD)
    assert len(made.events) == 2
    assert sum(cause.announced for cause in draw.causes) == 2
    announced = {(made.dates[e.first], made.dates[e.last]) for e in made.events}
    traffic = [r for r in made.expected_rows if r.stage == made.domain.stages[0]]
    assert not announced & {(row.date_from, row.date_to) for row in traffic}
    assert len(overview(made)["calendar"]) == 2


DOMAIN = DOMAINS["saas_trial"]
CUBE = cube_of(DOMAIN.shape)
SEGMENT = CUBE.cell_of({0: 1, 1: 2})
CUBE_OF_EMPTY = cube_of(EMPTY.domain.shape)
THE_ROOT = Root(1, 10, 12, SEGMENT, RATE, False)


def entry(day: int, cell: int, number: int, component: str = "signup", undoes: int = 0) -> Entry:
    return Entry(day, component, cell, "Ines", "new layout", number, undoes)


@pytest.mark.parametrize(
    ("log", "answer"),
    [
        ([entry(10, SEGMENT, 1)], "chg-01"),
        ([entry(8, SEGMENT, 1)], "chg-01"),
        ([entry(7, SEGMENT, 1)], UNATTRIBUTED),
        ([entry(11, SEGMENT, 1)], UNATTRIBUTED),
        ([entry(10, SEGMENT, 1, "billing")], UNATTRIBUTED),
        ([entry(10, SEGMENT, 1, undoes=3)], UNATTRIBUTED),
        ([entry(10, CUBE.cell_of({0: 1, 1: 2, 2: 0}), 1)], UNATTRIBUTED),
        ([entry(10, 0, 1), entry(8, SEGMENT, 2)], "chg-02"),
        ([entry(9, SEGMENT, 1), entry(10, SEGMENT, 2)], "chg-02"),
        ([entry(10, SEGMENT, 1), entry(10, SEGMENT, 2)], "chg-01"),
    ],
)
def test_the_entry_to_blame(log: list[Entry], answer: str) -> None:
    assert change_of(CUBE, DOMAIN, THE_ROOT, log) == answer


def test_a_tracking_loss_is_due_to_tracking() -> None:
    lost = replace(THE_ROOT, kind=LOSS)
    assert change_of(CUBE, DOMAIN, lost, [entry(10, SEGMENT, 1, "tracking")]) == "chg-01"
    assert change_of(CUBE, DOMAIN, lost, [entry(10, SEGMENT, 1)]) == UNATTRIBUTED


@pytest.mark.parametrize("config", ALL)
def test_logs_have_22_to_56_entries_by_date_and_a_quarter_undone(config: DrillConfig) -> None:
    log = episode(config).log
    assert 22 <= len(log) <= 56
    assert [each.day for each in log] == sorted(each.day for each in log)
    undone = [each for each in log if each.undoes]
    assert len(log) // 6 <= len(undone) <= len(log) // 4
    assert all(log[each.undoes - 1].day < each.day for each in undone)


def test_what_is_to_blame_is_not_rolled_back_while_its_root_lasts() -> None:
    days = range(3, 49, 7)
    roots = [Root(k, day, day + 6, SEGMENT, RATE, False) for day in days for k in (1, 2, 3)]
    for seed in range(100):
        log = draw_log(DOMAIN, roots, BitStream(f"log/{seed}"))
        undone = {entry_id(each.undoes): each.day for each in log if each.undoes}
        for root in roots:
            blamed = change_of(CUBE, DOMAIN, root, log)
            assert undone.get(blamed, DAYS) > root.last


@pytest.mark.parametrize(
    "domain", [*DOMAINS.values(), *WIDE_DOMAINS.values()], ids=lambda d: f"{d.name}-{len(d.dims)}"
)
def test_what_is_to_blame_could_have_moved_the_root_so(domain: Domain) -> None:
    cube = cube_of(domain.shape)
    for number in range(40):
        stream = BitStream(f"words/{number}")
        roots = []
        for place in range(20):
            stage, day = place % 5, 3 + 2 * place
            kind = TRAFFIC if not stage else LOSS if stage == 1 else RATE
            cell = stream.choose(np.flatnonzero(limited_to(domain, AUDIENCES[WHOM[kind]])).tolist())
            roots.append(
                Root(stage, day, day, cell, kind, kind != LOSS and stream.integer_below(2) > 0)
            )
        log = draw_log(domain, roots, stream)
        due = [(root, change_of(cube, domain, root, log)) for root in roots]
        for each in log:
            work = work_of(domain, each)
            blames = [root for root, change in due if change == each.id]
            assert work.suits(roles_of(domain, each.cell), [root.rises for root in blames])
            assert not (work.final and each.undoes)
            if each.component == TRACKING:
                names = [domain.stages[root.stage].replace("_", " ") for root in blames]
                assert all(name in each.work for name in names)


def work_of(domain: Domain, entry: Entry) -> Work:
    """The line of the catalogue that an entry was written by."""
    patterns = patterns_of(domain, entry.component)
    return next(work for work, words in patterns.items() if words.fullmatch(entry.work))


@cache
def patterns_of(domain: Domain, component: str) -> dict[Work, re.Pattern[str]]:
    """What is done to a component, each line of the catalogue with what it looks like in a log."""
    return {
        work: re.compile(re.escape(work.words).replace(r"\{\}", ".+"))
        for work in domain.work_on(component)
    }


def test_a_mix_shift_is_due_to_what_moves_people_both_ways() -> None:
    for number in range(40):
        cell = CUBE.cell_of({number % 4: 1})
        roots = [Root(0, 20, 22, cell, MIX, number % 2 > 0)]
        log = draw_log(DOMAIN, roots, BitStream(f"mix/{number}"))
        blamed = [each for each in log if each.id == change_of(CUBE, DOMAIN, roots[0], log)]
        assert all(work_of(DOMAIN, each).rises is None for each in blamed)


@pytest.mark.parametrize("config", ALL)
def test_who_looks_after_a_component_looks_after_no_other_and_does_nothing_twice(
    config: DrillConfig,
) -> None:
    log = [each for each in episode(config).log if not each.undoes]
    owners = {each.owner: each.component for each in log}
    assert all(owners[each.owner] == each.component for each in log)
    assert len({(each.component, each.cell) for each in log}) == len(log)


def test_only_a_place_has_a_holiday() -> None:
    for value, occasion in ((None, "campaigns paused"), ("UK", "holiday"), ("iPad", "campaigns")):
        domain = DOMAINS["ordering_app"]
        names = {v: {a: n} for a, d in enumerate(domain.dims) for n, v in enumerate(d.names)}
        cell = cube_of(domain.shape).cell_of(names[value] if value else {})
        dates = [str(day) for day in range(DAYS)]
        [line] = calendar_entries(domain, dates, [Event(3, 5, cell, False)])
        assert line["event"].startswith(occasion)


NEVER = {TRAFFIC: {RELEASE}, MIX: {RELEASE}, LOSS: {SOURCE, PEOPLE, PAGE}}
"""What attributes are never about for whom such a cause is."""


@pytest.mark.slow
@pytest.mark.parametrize("config", [FAINT, HARD, WIDE])
def test_causes_are_for_people_to_whom_they_can_happen(config: DrillConfig) -> None:
    for seed in range(4):
        drawn = generate(replace(config, seed=seed))[0]
        for effect, kind in ((e, cause.kind) for cause in drawn.causes for e in cause.effects):
            assert not NEVER.get(kind, set()) & set(roles_of(config.domain, effect.cell))


@pytest.mark.parametrize("config", [FAINT, HARD, WIDE])
def test_an_effect_differs_from_day_to_day_and_never_by_what_would_show(
    config: DrillConfig,
) -> None:
    effects = [e for cause in generate(config)[0].causes for e in cause.effects]
    for effect in effects:
        side = min(effect.channel, 1)
        assert len(effect.swing) == effect.stop - effect.first
        assert np.isclose(np.mean(effect.swing), 1.0, atol=1e-3)
        assert max(abs(each - 1.0) for each in effect.swing) < 0.72 * TAU[side]
    assert any(len(set(effect.swing)) > 1 for effect in effects)


@pytest.mark.slow
@pytest.mark.parametrize("level", LEVELS.values(), ids=LEVELS)
def test_sizes_are_drawn_first_and_every_draw_keeps_them(level: Level) -> None:
    config = DrillConfig(12, level.name, "saas_trial", max(level.roots))
    wanted = draw_wanted(level, config.roots, BitStream(f"{config.identity}/sizes"))
    drawn = generate(config)[0]
    cube = cube_of(config.domain.shape)
    sizes = [[int(cube.fixed[e.cell]) for e in c.effects] for c in drawn.causes if not c.announced]
    kinds = [cause.kind for cause in drawn.causes if not cause.announced]
    kept = [s[:1] if kind == LOSS else s for s, kind in zip(sizes, kinds, strict=True)]
    assert kept == [list(each.fixed) for each in wanted]


@pytest.mark.slow
def test_an_empty_episode_is_made_as_another_and_its_causes_taken_out() -> None:
    drawn = [attempt_draw(EMPTY, attempt) for attempt in range(3)]
    whole, emptied = next(each for each in drawn if not isinstance(each, str))
    assert [bool(draw.roots) for draw in (whole, emptied)] == [True, False]
    assert np.array_equal(emptied.counts, counted(CUBE_OF_EMPTY, whole.clean, []))
    assert generate(EMPTY)[0].causes == ()


@pytest.mark.slow
def test_every_opening_tells_the_calendar_and_the_budget_and_the_brief_explains_both() -> None:
    for name, level in LEVELS.items():
        opening = overview(episode(DrillConfig(3, name, roots=max(level.roots))))
        assert len(opening["calendar"]) == level.events
        assert opening["budget"] == level.budget
    assert all(
        word in ENVIRONMENT.build_system_prompt()
        for word in ("calendar announces", "budget's calls")
    )


def test_one_task_in_eight_has_no_root_and_ids_do_not_tell_seeds() -> None:
    tasks = [SPLITS.task("train", place) for place in range(128)]
    by_level = {
        level: [task.config for task in tasks if task.config.difficulty == level]
        for level in LEVELS
    }
    assert all(sum(not config.roots for config in each) == 4 for each in by_level.values())
    assert all(str(task.config.seed) not in str(task.as_public_dict()) for task in tasks)
    assert all("roots" not in task.as_public_dict() for task in tasks)


def test_wrong_configurations_say_what_is_allowed() -> None:
    with pytest.raises(InvalidValueError, match="roots of drill_easy is 5; allowed: 0, 1, 2"):
        DrillConfig(1, "drill_easy", roots=5)
    with pytest.raises(UnknownNameError, match="Did you mean 'drill_hard'"):
        DrillConfig(1, "drill_hrd")
    with pytest.raises(InvalidValueError, match="name of a dimension or stage is 'week'"):
        replace(DOMAIN, dims=(*DOMAIN.dims[:3], Dimension("week", (("a", 1.0), ("b", 1.0)), 0.0)))
