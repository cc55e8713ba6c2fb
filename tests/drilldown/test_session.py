"""Plays: tools, budget, report, and everything a caller can do wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from drilldown_env.environment import ENVIRONMENT
from drilldown_env.levels import LEVELS
from drilldown_env.session import MAX_STEPS, DrillSession
from drilldown_env.tasks import TASKS
from openenv_kit.environment import Reply
from openenv_kit.reply import ReplyStatus
from openenv_kit.rollouts.run_policy import run_policy
from openenv_kit.variables import SALT_VARIABLE

from .cases import EASY, FAINT, HARD, episode


def opened(config=EASY) -> DrillSession:
    session = DrillSession()
    session.open("test", episode(config))
    return session


def call(session: DrillSession, tool: str, **arguments: Any) -> Reply:
    return session.step({"tool": tool, "arguments": arguments})


def submit(session: DrillSession) -> Reply:
    assert session.episode is not None
    rows = [row.as_dict() for row in session.episode.expected_rows]
    return call(session, "submit_report", rows=rows)


@pytest.mark.parametrize("name", [name for name in TASKS if "sql" not in name][::3])
def test_the_reference_plays_named_tasks_to_one_within_the_budget(name: str) -> None:
    session = ENVIRONMENT.create_session()
    outcome = run_policy(session, ENVIRONMENT.policies["reference"], session.reset(task_id=name))
    assert outcome.score == 1.0
    assert session.calls <= LEVELS[TASKS[name].difficulty].budget


@pytest.mark.slow
def test_the_reference_plays_by_sql() -> None:
    session = ENVIRONMENT.create_session()
    reply = session.reset(task_id="drill_sql_saas_trial")
    assert run_policy(session, ENVIRONMENT.policies["reference"], reply).score == 1.0


def test_a_reset_tells_the_alert_the_names_and_the_budget_and_no_answer() -> None:
    session = DrillSession()
    reply = session.open("test", episode(HARD))
    assert reply.message == episode(HARD).alert
    assert (
        reply.observation_fields["config"]["budget"] == reply.observation_fields["calls_left"] == 70
    )
    assert set(reply.observation_fields["config"]) == {
        *("product", "difficulty", "attributes", "stages", "components", "first_date"),
        *("last_date", "budget", "calendar", "max_steps", "versions"),
    }
    shown = str(reply) + str(session.state())
    assert str(HARD.seed * 10**6) not in shown
    assert "roots" not in str(reply.observation_fields)


def test_weekly_counts_are_sums_of_daily_ones_and_of_the_leaves() -> None:
    session, made = opened(), episode(EASY)
    by_day = call(session, "slice", group_by=["plan"]).observation_fields["result"]["rows"]
    by_week = call(session, "slice", group_by=["plan"], every="week").observation_fields["result"][
        "rows"
    ]
    block = made.counts.reshape(*made.domain.shape, 5, 56).sum(axis=(1, 2, 3))
    for place, (days, weeks) in enumerate(zip(by_day, by_week, strict=True)):
        assert days[1:] == block[place].tolist()
        assert weeks[1:] == np.reshape(days[1:], (5, 8, 7)).sum(axis=2).tolist()


def test_rates_and_changes_are_divided_for_the_player() -> None:
    session, made = opened(), episode(EASY)
    where = {"plan": "team", "region": ["EMEA", "APAC"]}
    stage = made.domain.stages[1]
    asked = {"where": where, "stages": [stage]}
    counts = call(session, "slice", where=where).observation_fields["result"]["rows"]
    [[rates]] = call(session, "slice", measure="rates", **asked).observation_fields["result"][
        "rows"
    ]
    [[changes]] = call(session, "slice", measure="change", **asked).observation_fields["result"][
        "rows"
    ]
    people, into = np.array(counts[0][:2], dtype=float)
    rate = into / people
    usual = np.tile(np.median(rate.reshape(8, 7), axis=0), 8)
    assert rates == np.rint(1000 * rate).astype(int).tolist()
    assert changes == np.rint(1000 * (rate / usual - 1)).astype(int).tolist()


def test_compare_sums_days_and_others_and_divides_by_their_number() -> None:
    session, made = opened(), episode(EASY)
    first, stage = made.dates[7:9], made.domain.stages[0]
    asked = {"dates": [list(first)], "stages": [stage], "group_by": ["source"]}
    counts = call(session, "compare", **asked).observation_fields["result"]
    change = call(session, "compare", measure="change", **asked).observation_fields["result"]
    assert counts["days"] == {"dates": 2, "reference": 14}
    assert counts["columns"] == change["columns"] == ["source", stage]
    for [_, (now, usual)], [_, changed] in zip(counts["rows"], change["rows"], strict=True):
        assert changed == round(1000 * (now / 2 / (usual / 14) - 1))


def test_groups_come_in_the_order_asked_for() -> None:
    session, made = opened(), episode(EASY)
    asked = {"dates": [[made.dates[0], made.dates[0]]], "stages": [made.domain.stages[0]]}
    one = call(session, "slice", group_by=["plan", "region"], **asked).observation_fields["result"][
        "rows"
    ]
    two = call(session, "slice", group_by=["region", "plan"], **asked).observation_fields["result"][
        "rows"
    ]
    assert sorted([b, a, n] for a, b, n in one) == sorted(two)


@pytest.mark.parametrize(
    ("tool", "arguments", "said"),
    [
        ("slice", {"group_by": ["plann"]}, "Did you mean 'plan'"),
        ("slice", {"group_by": ["plan", "plan"]}, "attributes that differ"),
        ("slice", {"where": {"plan": "tem"}}, "Did you mean 'team'"),
        ("slice", {"where": {"plan": []}}, "at least one value"),
        ("slice", {"stages": ["signup"]}, "Did you mean 'signups'"),
        ("slice", {"dates": [["2020-01-01", "2020-01-02"]]}, "YYYY-MM-DD from"),
        ("slice", {"every": "month"}, "every is 'month'"),
        ("slice", {"group_by": ["plan", "region", "source", "company_size"]}, "group_by"),
        ("slice", {"group_by": ["region", "source", "company_size"]}, "400 cells"),
        ("slice", {"colour": 1}, "unknown argument 'colour'"),
        ("compare", {}, "'dates' is required"),
        ("sql", {"query": "SELECT 1"}, "Unknown tool 'sql'"),
        ("submit_report", {}, "'rows' is required"),
        ("submit_report", {"rows": [{"kind": "x"}]}, "rows.0.kind"),
        (None, {}, "Unknown tool None"),
    ],
)
def test_what_is_wrong_is_said_and_costs_no_call(tool: Any, arguments: Any, said: str) -> None:
    session = opened()
    reply = call(session, tool, **arguments)
    assert reply.status == ReplyStatus.ERROR
    assert said in reply.message
    assert (reply.done, reply.observation_fields["calls_left"]) == (False, 30)
    assert submit(session).reward == 1.0


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"stage": "app_opens"}, "row 1: Unknown stage of a rate_change"),
        ({"segment": {"country": "at"}}, "row 1: Unknown value of country 'at'"),
        ({"date_to": "2031-01-01"}, "row 1: date_to"),
        ({"change": "chg-99"}, "row 1: change is 'chg-99'; allowed: unattributed or an id from"),
    ],
)
def test_a_row_that_cannot_be_read_hands_in_nothing(changed: dict[str, Any], said: str) -> None:
    session = opened(FAINT)
    assert session.episode is not None
    rows = [row.as_dict() for row in session.episode.expected_rows]
    rows[0] = {**rows[0], "kind": "rate_change", "stage": "menu_opens", **changed}
    reply = call(session, "submit_report", rows=rows)
    assert reply.status == ReplyStatus.ERROR
    assert said in reply.message
    assert submit(session).reward == 1.0


def test_two_rows_of_one_place_are_refused() -> None:
    session = opened()
    assert session.episode is not None
    row = session.episode.expected_rows[0].as_dict()
    reply = call(session, "submit_report", rows=[row, {**row, "change": "unattributed"}])
    assert "rows 1 and 2 are of one place" in reply.message
    assert submit(session).reward == 1.0


def test_the_budget_ends_and_the_log_stays_free() -> None:
    session = opened()
    for _ in range(30):
        assert call(session, "slice", stages=["signups"], every="week").status == "answered"
    assert "All 30 calls that read counts are spent" in call(session, "slice").message
    assert call(session, "change_log").status == "answered"
    assert submit(session).reward == 1.0


def test_steps_end_with_nothing_and_a_finished_episode_takes_none() -> None:
    session = opened()
    for _ in range(MAX_STEPS):
        assert not session.step({"tool": "nothing"}).done
    last = call(session, "change_log")
    assert (last.done, last.reward) == (True, 0.0)
    late = submit(session)
    assert (late.done, late.reward, late.observation_fields) == (True, 0.0, {})


def test_a_failed_reset_leaves_the_running_episode() -> None:
    session = DrillSession()
    assert session.reset(task_id="drill_easy_saas_trial").status == "ready"
    for wrong in (
        {"task_id": "drill_esy_saas_trial"},
        {"split": "train", "seed": 1},
        {"split": "train", "index": -1},
        {"difficulty": "easy"},
        {"color": 1},
        {"seed": "1"},
    ):
        reply = session.reset(**wrong)
        assert reply.status == ReplyStatus.ERROR
        assert "llowed" in reply.message
    assert submit(session).reward == 1.0


def test_a_seed_alone_starts_an_episode_whose_roots_it_decides() -> None:
    one, two = DrillSession(), DrillSession()
    one.reset(seed=77, difficulty="drill_easy")
    two.reset(seed=77, difficulty="drill_easy")
    assert one.episode is two.episode


@pytest.mark.parametrize("also", [{"task_id": next(iter(TASKS))}, {"difficulty": 0.5}])
def test_what_stands_beside_a_split_is_named(also: dict[str, Any]) -> None:
    ((name, value),) = also.items()
    shown = repr(value)
    refused = DrillSession().reset(split="train", **also)
    assert refused.message.startswith(f"{name} is {shown}; allowed: nothing beside split")


def test_the_sealed_split_is_keyed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SALT_VARIABLE, raising=False)
    assert "sealed" not in ENVIRONMENT.splits.list_playable_split_names()
    found = []
    for salt in ("a" * 32, "b" * 32):
        monkeypatch.setenv(SALT_VARIABLE, salt)
        found.append(ENVIRONMENT.splits.task("sealed", 0).config.seed)
    assert found[0] != found[1]


def test_a_reset_of_the_session_itself_takes_an_id_too() -> None:
    reply = DrillSession().reset(task_id=next(iter(TASKS)), episode_id="mine")
    assert reply.status == "ready"
