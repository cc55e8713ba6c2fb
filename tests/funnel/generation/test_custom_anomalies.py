"""Custom anomalies of a reset are applied and labelled by the reporting policy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from metric_tracker_rl.engine.session.episode_session import EpisodeSession
from metric_tracker_rl.policies import get_policy
from metric_tracker_rl.wire_models import SyntheticAnomalyGenerator
from openenv_kit.rollouts.run_policy import run_policy
from support.funnel_episodes import perfect_report, running_episode, started, submit

FIELDS = """
    method_name date metric_name metric_type direction anomaly_type detection_method baseline_value
    pre_applied_value std_dev_from_median stddev_factor threshold_value target_value actual_value
    formula
"""


def with_custom(**fields: Any) -> EpisodeSession:
    """A clean easy episode with one custom anomaly on its sixth day."""
    clean = running_episode(started(seed=7, anomaly_count=0))
    fields.setdefault("date", clean.dates[5])
    return started(seed=7, anomaly_count=0, anomalies=[fields])


@pytest.mark.parametrize(("direction", "sign"), [("up", 1), ("down", -1)])
@pytest.mark.parametrize("metric", ["app_opens", "menu_open_to_product_added_to_cart"])
def test_a_metric_is_set_to_its_median_and_so_many_standard_deviations(
    metric: str, direction: str, sign: int
) -> None:
    session = with_custom(metric_name=metric, stddev_factor=3, direction=direction)
    clean = running_episode(started(seed=7, anomaly_count=0))
    column = clean.config.funnel_with_policy_daytime.count_and_rate_names.index(metric)
    median, values = clean.series.medians_by_column[column], clean.series.values[:, column]
    target = median + sign * 3 * np.sqrt(((values - median) ** 2).mean())
    [done] = running_episode(session).applied_anomalies
    assert list(done) == FIELDS.split()
    assert done["baseline_value"] == median
    assert done["pre_applied_value"] == values[5]
    assert done["target_value"] == pytest.approx(target, abs=0.6)
    assert done["actual_value"] == pytest.approx(done["target_value"], rel=2e-3)
    assert running_episode(session).series.values[5, column] == done["actual_value"]
    assert (done["direction"], done["date"]) == (direction, clean.dates[5])


def test_applied_custom_anomalies_appear_in_the_reset_observation_only() -> None:
    session = EpisodeSession()
    date = running_episode(started()).dates[2]
    opening = session.reset(anomalies=[{"metric_name": "app_opens", "date": date}])
    assert [
        each["date"] for each in opening.observation_fields["applied_synthetic_generators"]
    ] == [date]
    assert session.reset().observation_fields["applied_synthetic_generators"] == []


def test_the_rule_labels_the_result_and_the_reference_policy_finds_it() -> None:
    session = with_custom(metric_name="app_opens", stddev_factor=30, direction="up")
    episode = running_episode(session)
    assert [row.entity_name for row in episode.expected_rows]
    assert {row.date for row in episode.expected_rows} == {episode.dates[5]}
    again = EpisodeSession()
    date = episode.dates[5]
    opening = again.reset(
        seed=7,
        anomaly_count=0,
        anomalies=[{"metric_name": "app_opens", "date": date, "stddev_factor": 30}],
    )
    assert run_policy(again, get_policy("reference"), opening).score == 1.0


def test_an_anomaly_too_small_to_flag_leaves_the_empty_report_right() -> None:
    session = with_custom(metric_name="app_opens", stddev_factor=0.5, direction="up")
    assert perfect_report(session) == []
    assert submit(session, []).reward == 1.0


def test_the_dates_stay_those_of_the_same_reset_without_custom_anomalies() -> None:
    for reset in ({}, {"task_id": "hard_mixed_multi"}, {"seed": 9, "anomaly_density": "high"}):
        plain = running_episode(started(**reset))
        wanted = [{"metric_name": "menu_opens", "date": plain.dates[8], "stddev_factor": 5}]
        custom = running_episode(started(**reset, anomalies=wanted))
        assert custom.dates == plain.dates
        assert [each["date"] for each in custom.applied_anomalies] == [plain.dates[8]]
        # In the place of the planned ones: all other days are as they were before any cause.
        others = [day for day in range(28) if day != 8]
        assert (custom.generated.hourly[others] == plain.generated.clean[others]).all()


def test_custom_anomalies_are_added_to_the_planned_ones() -> None:
    plain = running_episode(started(seed=3, anomaly_count=2))
    free = next(d for d in plain.dates if d not in {row.date for row in plain.expected_rows})
    wanted = [{"metric_name": "app_opens", "date": free, "stddev_factor": 20, "direction": "up"}]
    both = running_episode(started(seed=3, anomaly_count=2, anomalies=wanted))
    assert {row.key for row in plain.expected_rows} < {row.key for row in both.expected_rows}
    assert free in {row.date for row in both.expected_rows}


def test_several_metrics_on_several_dates_are_applied_in_order() -> None:
    dates = running_episode(started(seed=7)).dates
    session = started(
        seed=7,
        anomalies=[
            SyntheticAnomalyGenerator(
                metric_names=["app_opens", "menu_opens"], dates=[dates[1], dates[2]]
            )
        ],
    )
    applied = running_episode(session).applied_anomalies
    assert [(each["date"], each["metric_name"]) for each in applied] == [
        (dates[1], "app_opens"),
        (dates[1], "menu_opens"),
        (dates[2], "app_opens"),
        (dates[2], "menu_opens"),
    ]


def test_auto_goes_to_the_side_that_the_value_is_on() -> None:
    clean = running_episode(started(seed=7, anomaly_count=0))
    for day in range(6):
        done = running_episode(
            with_custom(metric_name="app_opens", date=clean.dates[day], stddev_factor=3)
        ).applied_anomalies[0]
        above = done["pre_applied_value"] >= done["baseline_value"]
        assert done["direction"] == ("up" if above else "down")


def test_a_rate_never_exceeds_a_hundred_percent_and_a_count_never_falls_below_zero() -> None:
    rate = "order_placed_to_payment_successful"
    high = running_episode(with_custom(metric_name=rate, stddev_factor=900, direction="up"))
    assert high.applied_anomalies[0]["target_value"] == 100.0
    low = running_episode(
        with_custom(metric_name="menu_opens", stddev_factor=900, direction="down")
    )
    assert low.applied_anomalies[0]["actual_value"] == 0.0
    assert (low.generated.hourly >= 0).all()


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"metric_name": "app_open"}, "Unknown metric 'app_open'. Did you mean 'app_opens'?"),
        ({"metric_name": "app_opens", "direction": "upp"}, "Did you mean 'up'?"),
        ({"metric_name": "app_opens", "method_name": "shift"}, "Allowed: metric_stddev_shift."),
        ({"metric_name": "app_opens", "stddev": 3}, "Did you mean 'stddev_factor'?"),
        ({"metric_name": "app_opens", "stddev_factor": -1}, "allowed: a number from 0 to 1000"),
        ({"metric_name": "app_opens", "stddev_factor": True}, "allowed: a number from 0 to 1000"),
        ({"metric_name": "app_opens", "stddev_factor": float("nan")}, "stddev_factor is nan"),
        ({"metric_name": "app_opens", "date": None}, "date / dates is []; allowed: at least one"),
        ({"metric_names": 5}, "metric_names is 5; allowed: a list of names."),
        ({"metric_names": "app_opens"}, "metric_names is 'app_opens'; allowed: a list of names."),
        ({"metric_name": "app_opens", "dates": {}}, "dates is {}; allowed: a list of names."),
        ({}, "metric_name / metric_names is []; allowed"),
    ],
)
def test_invalid_custom_anomaly_names_the_field_and_what_is_allowed(
    fields: dict[str, Any], expected: str
) -> None:
    date = running_episode(started()).dates[0]
    reply = EpisodeSession().reset(anomalies=[{"date": date, **fields}])
    assert reply.status == "error"
    assert expected in reply.message


def test_a_date_outside_the_episode_names_the_range_and_a_date_inside_it_then_works() -> None:
    session = EpisodeSession()
    reply = session.reset(seed=7, anomalies=[{"metric_name": "app_opens", "date": "1999-12-31"}])
    dates = running_episode(started(seed=7)).dates
    assert reply.status == "error"
    assert all(date in reply.message for date in ("1999-12-31", dates[0], dates[-1]))
    last = {"metric_name": "app_opens", "date": dates[-1]}
    assert session.reset(seed=7, anomalies=[last]).status == "ready"
