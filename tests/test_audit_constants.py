"""The search for constants finds what it should, and what it finds is graded as it says."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from metric_tracker_rl import audit
from metric_tracker_rl.audit import MODES, PLAYERS_OF
from metric_tracker_rl.engine.configuration.episode_config import MIXED, SCENARIO_FAMILIES
from metric_tracker_rl.engine.configuration.play_rules import EpisodeView, mode_of
from metric_tracker_rl.engine.definitions.levels import LEVELS
from metric_tracker_rl.engine.definitions.names import FUNNEL_BREAK, MIX_SHIFT, QUALITY_ISSUE
from metric_tracker_rl.engine.session.episode_session import EpisodeSession
from metric_tracker_rl.environment import ENVIRONMENT
from metric_tracker_rl.exploits import EXPLOITS, constants
from metric_tracker_rl.exploits.base import NOTHING, ZERO_CALL
from metric_tracker_rl.exploits.constants import best_constants, shown_by
from metric_tracker_rl.exploits.lean import LEAN_EXPLOITS
from metric_tracker_rl.exploits.raw import RAW_EXPLOITS
from openenv_kit.rollouts.policies import Policy
from openenv_kit.rollouts.run_policy import play
from openenv_kit.trust.audit import Job, run_job
from research.benchmark_report.second_play import PLAYERS, play_again

AUDIT = ENVIRONMENT.audit


@pytest.fixture(autouse=True)
def few_known_episodes(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(audit, "KNOWN", 24)
    audit._known.cache_clear()
    yield
    audit._known.cache_clear()


def views(setting: str, level: str, count: int) -> list[EpisodeView]:
    session, found = EpisodeSession(), []
    for number in range(count):
        session.reset(**AUDIT.reset_arguments(level, number, setting=setting))
        assert session.view is not None
        found.append(session.view)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("family", [FUNNEL_BREAK, MIX_SHIFT, QUALITY_ISSUE])
def test_the_search_finds_the_generator_that_is_the_whole_answer(family: str) -> None:
    for (shown, _), methods in best_constants(views(family, "easy", 8)).items():
        assert shown == family
        assert family in {method["method_name"] for method in methods}
    line = AUDIT.lines([run_job(Job("constant_after_a_look", "easy", 0, 8, family))])[0]
    assert line.mean == 1.0


@pytest.mark.slow
@pytest.mark.parametrize("setting", [MIXED, "split:validation"])
def test_the_searched_score_is_the_graders_own(setting: str) -> None:
    """The formula in the search and the grader agree, to the last episode."""
    known = views(setting, "hard", 24)
    best = best_constants(known)
    policy = Policy("tried", "", lambda opening: constants.constant_after_a_look(opening, best))
    session = EpisodeSession()
    played = [
        play(
            session, policy, session.reset(**AUDIT.reset_arguments("hard", number, setting=setting))
        )
        for number in range(24)
    ]
    expected = 0.0
    for shown in best:
        group = [view.episode for view in known if shown_by(view.config) == shown]
        search = constants._Search(group)
        expected += len(group) * max(search._climb(start)[0] for start in constants.STARTS)
    assert sum(outcome.score for outcome in played) == pytest.approx(expected, abs=1e-4)
    assert expected > 3.0


@pytest.mark.slow
@pytest.mark.parametrize("setting", [MIXED, QUALITY_ISSUE, MIX_SHIFT, "split:test"])
def test_without_a_call_a_constant_earns_no_more_than_the_empty_report(setting: str) -> None:
    free = [name for name, each in EXPLOITS.items() if each.ceiling is ZERO_CALL]
    assert set(free) == {"constant", "visible_family"}
    [floor, *found] = AUDIT.lines(
        run_job(Job(name, "easy", 0, 12, setting)) for name in ("null", *free)
    )
    assert floor.policy == "null"
    for line in found:
        assert line.calls == 1.0
        assert line.mean <= floor.mean
        assert (line.max_mean, line.max_perfect) == (0.20, 0.20)


@pytest.mark.slow
def test_the_audit_covers_every_family_level_and_split() -> None:
    assert set(AUDIT.settings) >= {
        *SCENARIO_FAMILIES,
        "split:train",
        "split:validation",
        "split:test",
    }
    work = AUDIT.jobs(20, settings=AUDIT.settings)
    nothing = {name for name, each in EXPLOITS.items() if each.ceiling is NOTHING}
    usual = {*EXPLOITS} - {*LEAN_EXPLOITS, *RAW_EXPLOITS}
    for setting in AUDIT.settings:
        for level in LEVELS:
            there = {
                job.policy for job in work if (job.setting, job.difficulty) == (setting, level)
            }
            if (mode := mode_of(MODES.get(setting, {}))) in PLAYERS_OF:
                assert there == {*PLAYERS_OF[mode]}
                continue
            assert there >= {*AUDIT.baselines, "constant", "visible_family"}
            assert there >= nothing & usual
            assert not there & {*LEAN_EXPLOITS, *RAW_EXPLOITS}
    for setting in (MIXED, "mode:exact", "mode:key_f1", "mode:varied"):
        there = {job.policy for job in work if job.setting == setting}
        assert there == {*AUDIT.baselines, *usual}


@pytest.mark.slow
def test_in_a_split_the_empty_report_may_earn_what_it_is_right_for() -> None:
    [line] = AUDIT.lines([run_job(Job("odd_numbers", "easy", 0, 12, "split:test"))])
    assert line.max_mean == line.mean > 0.0
    assert line.holds


@pytest.mark.slow
def test_remarks_sell_the_answer_at_once_counts_in_several_plays_and_the_score_in_more() -> None:
    resets = [AUDIT.reset_arguments("easy", number) for number in range(6)]
    issues, counts, score = (play_again(uses, "easy", resets) for uses in PLAYERS)
    assert (issues.second, issues.plays) == (1.0, 2.0)
    assert issues.first < 0.2
    assert 2.0 < counts.plays <= score.plays
    assert counts.solved == score.solved == 1.0
