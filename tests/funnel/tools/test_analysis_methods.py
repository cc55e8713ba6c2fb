"""Results of the analysis methods, recomputed with pandas."""

from __future__ import annotations

import itertools
import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from jsonschema import Draft202012Validator

from metric_tracker_rl import (
    available_analysis_methods,
    available_payload_generation_methods,
    available_synthetic_generator_methods,
)
from metric_tracker_rl.analysis_tools import TOOLS
from metric_tracker_rl.analysis_tools.arguments import NoMethodArguments
from metric_tracker_rl.analysis_tools.registry import (
    collect_dates_of_result_rows,
    create_empty_analysis_method_registry,
)
from metric_tracker_rl.engine.configuration.episode_config import (
    EpisodeConfig,
)
from metric_tracker_rl.engine.definitions.anomaly_types import (
    FUNNEL_BREAK,
    MIX_SHIFT,
    MIXED,
    QUALITY_ISSUE,
    ROW_GENERATOR_NAMES,
)
from metric_tracker_rl.engine.episode.episode import FunnelEpisode
from metric_tracker_rl.engine.session.episode_session import EpisodeSession
from openenv_kit.tool import Tool
from support.funnel_episodes import analyse, perfect_report, running_episode, started

COUNTS = [
    "app_opens",
    "menu_opens",
    "product_added_to_cart",
    "orders_placed",
    "payment_successful",
]
RATES = {
    "app_open_to_menu_open": (1, 0),
    "menu_open_to_product_added_to_cart": (2, 1),
    "product_added_to_cart_to_order_placed": (3, 2),
    "order_placed_to_payment_successful": (4, 3),
    "app_open_to_order_placed": (3, 0),
    "app_open_to_payment_successful": (4, 0),
}
COMPARED = (
    "found date entity_type entity_name detection_method baseline_value observed_value "
    "delta_value anomaly_type severity"
)
GENERATED = "method_name threshold_multiplier match_count generated_rows details"
KEYS = {
    "task_overview": "instruction config date_count dates threshold_search_space payload_schema "
    "available_methods entities",
    "list_dates": "dates",
    "list_entities": "entities",
    "rows_for_date": "found date daily_metrics derived_rates",
    "hourly_rows_for_date": "found date summary rows",
    "compare_rate_to_median": COMPARED,
    "compare_count_to_median": COMPARED,
    "detect_funnel_break": "found date candidates",
    "check_impossible_counts": "found date issue_count total_excess issues",
    "list_suspicious_dates": "dates",
    "preview_submission": "valid_rows invalid_rows duplicate_rows unique_keys issues "
    "normalized_rows",
    "show_raw_data": "row_count returned_rows rows",
    "get_metric_median": "metric_names results",
    "get_metric_std_dev_from_median": "metric_names results",
    "get_rows_with_abs_diff_from_median_gt": "results",
    "get_median_filter_rows": f"{GENERATED} metric_names",
    "get_rate_drop_from_median_rows": f"{GENERATED} metric_names",
    "get_rate_spike_from_median_rows": f"{GENERATED} metric_names",
    "get_absolute_drop_in_event_count_rows": f"{GENERATED} metric_names",
    "get_absolute_spike_in_event_count_rows": f"{GENERATED} metric_names",
    "get_funnel_break_rows": GENERATED,
    "get_hourly_traffic_mix_shift_rows": GENERATED,
    "get_instrumentation_data_quality_issue_rows": GENERATED,
    "payload_generator": "generator_methods generated_row_count generated_rows details",
}
"""The contract: at least these keys in each result."""

EXTENSIONS = {"list_calendar"}
"""Methods beyond the contract; tested in test_calendar.py."""

ROW_KEYS = (
    "date entity_type entity_name anomaly_type detection_method baseline_value observed_value "
    "delta_value severity"
)


STEP = "menu_open_to_product_added_to_cart"


@pytest.fixture(scope="module")
def session() -> EpisodeSession:
    """An episode with every kind of anomaly, and steps enough for a whole module."""
    return busy_session()


def busy_session() -> EpisodeSession:
    """The first mixed episode of seven anomalies with a mix shift, a fault and an added break.

    The generator plans at most two of these three in one episode.
    """
    asked = {"scenario_family": MIXED, "difficulty": "hard", "anomaly_count": 7, "max_steps": 500}
    for seed in range(100):
        planned = running_episode(started(seed=seed, **asked))
        if not {MIX_SHIFT, QUALITY_ISSUE} <= {row.anomaly_type for row in planned.expected_rows}:
            continue
        taken = {row.date for row in planned.expected_rows}
        for date in (each for each in planned.dates if each not in taken):
            fall = {"metric_name": STEP, "date": date, "stddev_factor": 6, "direction": "down"}
            session = started(seed=seed, **asked, anomalies=[fall])
            kinds = {row.anomaly_type for row in running_episode(session).expected_rows}
            if {FUNNEL_BREAK, MIX_SHIFT, QUALITY_ISSUE} <= kinds:
                return session
    raise AssertionError("no such episode among a hundred")


@pytest.fixture(scope="module")
def episode(session: EpisodeSession) -> FunnelEpisode:
    return running_episode(session)


def result(session: EpisodeSession, method: str, **arguments: Any) -> Any:
    reply = analyse(session, method, **arguments)
    assert reply.status == "analyzed", reply.message
    shown = reply.observation_fields["analysis_result"]
    assert (shown["method"], shown["arguments"]) == (method, arguments)
    assert json.loads(json.dumps(shown["result"], allow_nan=False)) == shown["result"]
    return shown["result"]


def metric(episode: FunnelEpisode, name: str) -> pd.Series:
    """Daily values of a count or a rate, from the frame."""
    daily = episode.daily
    if name in COUNTS:
        return daily[name].astype(float)
    above, below = RATES[name]
    return (100 * daily[COUNTS[above]] / daily[COUNTS[below]]).round(4)


def share(episode: FunnelEpisode) -> pd.Series:
    opens = episode.hourly["app_opens"].unstack("hour")
    return (opens.loc[:, 8:19].sum(axis=1) / opens.sum(axis=1)).round(6)


def spread(values: pd.Series, median: float) -> float:
    return float(np.sqrt(((values - median) ** 2).mean()))


def arguments_for(method: str, episode: FunnelEpisode) -> dict[str, Any]:
    """Arguments that a method takes, by the kind of its own parameters."""
    special: dict[str, dict[str, Any]] = {
        "compare_rate_to_median": {"entity_name": "app_open_to_menu_open"},
        "compare_count_to_median": {"entity_name": "app_opens"},
        "get_rows_with_abs_diff_from_median_gt": {"threshold": 2.0},
        "preview_submission": {"rows": []},
        "payload_generator": {"generator_methods": [{"method_name": "median_filter"}]},
    }
    fields = TOOLS[method].arguments_type.model_fields
    found = dict(special.get(method, {}))
    if "date" in fields:
        found["date"] = episode.dates[4]
    if "threshold_multiplier" in fields:
        found["threshold_multiplier"] = 1.0
    return found


@pytest.mark.parametrize("method", KEYS)
def test_a_result_has_at_least_the_contracts_keys(
    method: str, session: EpisodeSession, episode: FunnelEpisode
) -> None:
    found = result(session, method, **arguments_for(method, episode))
    assert set(KEYS[method].split()) <= set(found)


def test_registered_methods_equal_the_contract() -> None:
    catalogue = available_analysis_methods()
    assert [spec.name for spec in catalogue] == list(TOOLS)
    assert set(TOOLS) == {*KEYS, *EXTENSIONS}
    assert len(KEYS) == 24
    assert all(spec.description.endswith((".", ")")) for spec in catalogue)
    assert [spec.name for spec in available_payload_generation_methods()] == list(
        ROW_GENERATOR_NAMES
    )
    assert [s.name for s in available_synthetic_generator_methods()] == ["metric_stddev_shift"]


def test_a_method_declared_twice_is_refused() -> None:
    registry = create_empty_analysis_method_registry()
    tool = Tool("twice", "Once is enough.", NoMethodArguments, lambda *_: {})
    registry.add(tool)
    with pytest.raises(TypeError, match="'twice' is declared twice"):
        registry.add(tool)


def all_specs() -> list[Any]:
    return [
        *available_analysis_methods(),
        *available_payload_generation_methods(),
        *available_synthetic_generator_methods(),
    ]


@pytest.mark.parametrize("spec", all_specs(), ids=lambda spec: spec.name)
def test_parameters_are_a_self_contained_json_schema_object(spec: Any) -> None:
    Draft202012Validator.check_schema(spec.parameters)
    assert spec.parameters["type"] == "object"
    assert "$ref" not in json.dumps(spec.parameters)
    assert "properties" in spec.parameters


def test_schema_accepts_exactly_the_arguments_that_the_method_accepts(
    episode: FunnelEpisode,
) -> None:
    for spec in available_analysis_methods():
        validator = Draft202012Validator(spec.parameters)
        assert validator.is_valid(arguments_for(spec.name, episode)), spec.name
    by_name = {spec.name: spec.parameters for spec in available_analysis_methods()}
    limit = Draft202012Validator(by_name["list_suspicious_dates"])
    assert not limit.is_valid({"limit": -1})
    rate = Draft202012Validator(by_name["compare_rate_to_median"])
    assert not rate.is_valid({"date": episode.dates[0], "entity_name": "app_opens"})


def test_task_overview_contains_policy_thresholds_and_severity_bounds(
    session: EpisodeSession, episode: FunnelEpisode
) -> None:
    short, whole = result(session, "task_overview"), result(session, "task_overview", details=True)
    level = episode.config.level_with_policy_parameters
    assert {name: short["config"][name] for name in ("thresholds", "severity_bands")} == {
        name: whole[name] for name in ("thresholds", "severity_bands")
    }
    assert whole["reporting_policy"] in whole["instruction"]
    assert whole["instruction"].startswith(short["instruction"])
    assert "Report the root" not in json.dumps(short), "the opening has told the policy"
    assert set(whole["payload_schema"]) - set(short["payload_schema"]) == {"allowed"}
    assert whole["thresholds"] == {
        "count_relative": level.count_threshold,
        "rate_relative": level.rate_threshold,
        "funnel_break_relative_drop": 0.35,
        "daytime_share_absolute": level.mix_threshold,
    }
    assert whole["severity_bands"]["event_count"] == [0.25, 0.35, 0.5]
    for words in ("Report the root", f"counts {level.count_threshold:.0%}, rates", "35%"):
        assert words in whole["reporting_policy"]
        assert words in whole["instruction"]
    assert (whole["date_count"], whole["dates"]) == (28, list(episode.dates))
    assert whole["payload_schema"]["fields"] == ROW_KEYS.split()
    assert set(whole["available_methods"]) == set(TOOLS)
    assert len(whole["entities"]) == 20


def test_dates_and_entities_are_the_episodes(
    session: EpisodeSession, episode: FunnelEpisode
) -> None:
    assert result(session, "list_dates") == {"dates": list(episode.daily.index)}
    entities = result(session, "list_entities")["entities"]
    assert [e["entity_name"] for e in entities if e["entity_type"] == "event_count"] == COUNTS
    assert [e["entity_name"] for e in entities if e["entity_type"] == "conversion_rate"] == list(
        RATES
    )
    assert {e["entity_name"] for e in entities if e["entity_type"] == "data_quality"} == {
        f"{below}_lte_{above}" for above, below in itertools.pairwise(COUNTS)
    }
    assert {"entity_type": "hourly_mix", "entity_name": "app_opens:daytime_share"} in entities


def test_rows_for_date_shows_the_days_counts_and_rates(
    session: EpisodeSession, episode: FunnelEpisode
) -> None:
    for date in episode.dates:
        found = result(session, "rows_for_date", date=date)
        assert found["daily_metrics"] == episode.daily.loc[date].to_dict()
        assert found["derived_rates"] == {
            name: pytest.approx(metric(episode, name)[date], abs=1e-9) for name in RATES
        }


def test_hourly_rows_show_every_hour_the_share_and_the_busiest_hours(
    session: EpisodeSession, episode: FunnelEpisode
) -> None:
    date = episode.dates[11]
    found = result(session, "hourly_rows_for_date", date=date)
    frame = episode.hourly.loc[date]
    assert [row.pop("hour") for row in found["rows"]] == list(range(24))
    assert found["rows"] == frame.to_dict("records")
    assert found["summary"]["daytime_share"] == pytest.approx(share(episode)[date], abs=1e-9)
    assert found["summary"]["baseline_daytime_share"] == pytest.approx(
        share(episode).median(), abs=1e-6
    )
    busiest = frame["app_opens"].nlargest(5)
    assert frame["app_opens"].loc[found["summary"]["top_hours"]].tolist() == busiest.tolist()


@pytest.mark.parametrize("name", [*COUNTS, *RATES])
def test_a_comparison_shows_value_median_difference_and_type(
    name: str, session: EpisodeSession, episode: FunnelEpisode
) -> None:
    is_count = name in COUNTS
    method = "compare_count_to_median" if is_count else "compare_rate_to_median"
    level, values = episode.config.level_with_policy_parameters, metric(episode, name)
    median = round(float(values.median()), 4)
    threshold = level.count_threshold if is_count else level.rate_threshold
    words = ("absolute_{}_in_event_count", "rate_{}_from_median")[not is_count]
    for date in episode.dates[::3]:
        found = result(session, method, date=date, entity_name=name)
        change = (values[date] - median) / median
        way = (
            "normal" if abs(change) < threshold else words.format("spike" if change > 0 else "drop")
        )
        assert found["anomaly_type"] == way
        assert found["baseline_value"] == pytest.approx(median, abs=1.1e-4)
        assert found["observed_value"] == pytest.approx(values[date])
        assert found["delta_value"] == pytest.approx(values[date] - median, abs=2.1e-4)
        assert found["relative_deviation"] == pytest.approx(change, abs=2e-5)
        assert found["detection_method"] == method


def test_funnel_breaks_are_the_steps_that_fell_by_the_break_threshold(
    session: EpisodeSession, episode: FunnelEpisode
) -> None:
    seen = 0
    for date in episode.dates:
        wanted = [
            f"{COUNTS[above]}_from_{COUNTS[below]}"
            for name, (above, below) in list(RATES.items())[:4]
            if metric(episode, name)[date] / metric(episode, name).median() - 1 <= -0.35
        ]
        found = result(session, "detect_funnel_break", date=date)["candidates"]
        assert [each["entity_name"] for each in found] == wanted
        seen += len(found)
    assert seen > 0


def test_impossible_counts_are_the_excess_of_each_pair_over_the_hours(
    session: EpisodeSession, episode: FunnelEpisode
) -> None:
    seen = 0
    for date in episode.dates:
        day = episode.hourly.loc[date]
        wanted = {}
        for above, below in itertools.pairwise(COUNTS):
            excess = (day[below] - day[above]).clip(lower=0)
            if excess.sum():
                wanted[f"{below}_lte_{above}"] = int(excess.sum())
        found = result(session, "check_impossible_counts", date=date)
        assert {i["entity_name"]: i["observed_value"] for i in found["issues"]} == wanted
        assert (found["issue_count"], found["total_excess"]) == (len(wanted), sum(wanted.values()))
        for issue in found["issues"]:
            assert sum(each["excess"] for each in issue["hours"]) == issue["observed_value"]
        seen += len(wanted)
    assert seen > 0


def test_suspicious_dates_are_ranked_by_the_largest_multiple_of_a_threshold(
    session: EpisodeSession, episode: FunnelEpisode
) -> None:
    found = result(session, "list_suspicious_dates", limit=28)["dates"]
    scores = [each["suspicion_score"] for each in found]
    assert scores == sorted(scores, reverse=True)
    assert {each["date"] for each in found} == set(episode.dates)
    for each in found:
        date = each["date"]
        counts, rates = (
            max(
                abs(values[date] / values.median() - 1)
                for values in (metric(episode, n) for n in of)
            )
            for of in (COUNTS, RATES)
        )
        mix = abs(share(episode)[date] - share(episode).median())
        assert each["max_count_delta_pct"] == pytest.approx(100 * counts, abs=1e-3)
        assert each["max_rate_delta"] == pytest.approx(100 * rates, abs=1e-3)
        assert each["hourly_mix_delta_pct"] == pytest.approx(100 * mix, abs=1e-3)
    top = result(session, "list_suspicious_dates", limit=3)["dates"]
    assert top == found[:3]
    assert len(result(session, "list_suspicious_dates")["dates"]) == 10


def test_every_date_with_a_row_is_more_suspicious_than_every_date_without(
    session: EpisodeSession, episode: FunnelEpisode
) -> None:
    found = result(session, "list_suspicious_dates", limit=28)["dates"]
    guilty = {row.date for row in episode.expected_rows}
    assert {each["date"] for each in found[: len(guilty)]} == guilty
    assert found[len(guilty) - 1]["suspicion_score"] > 1 > found[len(guilty)]["suspicion_score"]


def test_raw_data_are_the_frames_from_an_offset_on(
    session: EpisodeSession, episode: FunnelEpisode
) -> None:
    found = result(session, "show_raw_data", limit=3, offset=26)
    assert (found["row_count"], found["returned_rows"]) == (28, 2)
    assert found["rows"] == episode.daily.iloc[26:].reset_index().to_dict("records")
    hourly = result(session, "show_raw_data", limit=1000, granularity="hourly")
    assert hourly["row_count"] == hourly["returned_rows"] == 672
    assert hourly["rows"] == episode.hourly.reset_index().to_dict("records")
    assert result(session, "show_raw_data")["returned_rows"] == 5


def test_medians_and_standard_deviations_are_pandas(
    session: EpisodeSession, episode: FunnelEpisode
) -> None:
    medians = result(session, "get_metric_median")["results"]
    spreads = result(session, "get_metric_std_dev_from_median")["results"]
    assert [each["metric_name"] for each in medians] == [*COUNTS, *RATES]
    for middle, wide in zip(medians, spreads, strict=True):
        values = metric(episode, middle["metric_name"])
        kind = "event_count" if middle["metric_name"] in COUNTS else "conversion_rate"
        assert middle["metric_type"] == wide["metric_type"] == kind
        assert middle["median_value"] == wide["median_value"]
        assert middle["median_value"] == pytest.approx(values.median(), abs=1e-4)
        assert wide["std_dev_from_median"] == pytest.approx(
            spread(values, middle["median_value"]), abs=1e-3
        )
        assert middle["sample_size"] == wide["sample_size"] == 28


def test_metrics_can_be_named_one_by_one_or_several(session: EpisodeSession) -> None:
    found = result(
        session,
        "get_metric_median",
        metric_name="orders_placed",
        metric_names=["app_opens", "orders_placed"],
    )
    assert found["metric_names"] == ["orders_placed", "app_opens"]


def test_rows_beyond_an_absolute_difference_are_all_that_pandas_finds(
    session: EpisodeSession, episode: FunnelEpisode
) -> None:
    name = "app_open_to_menu_open"
    found = result(
        session, "get_rows_with_abs_diff_from_median_gt", metric_name=name, threshold=1.5
    )
    values = metric(episode, name)
    far = values[(values - values.median()).abs() > 1.5]
    [entry] = found["results"]
    assert [row["date"] for row in entry["rows"]] == list(far.index)
    assert entry["match_count"] == len(far)
    assert [row["value"] for row in entry["rows"]] == pytest.approx(far.tolist())


def filtered(episode: FunnelEpisode, names: list[str], multiplier: float, way: int) -> set[Any]:
    """(date, metric) that a filter by standard deviations and threshold finds; way 0 is both."""
    found = set()
    level = episode.config.level_with_policy_parameters
    for name in names:
        values = metric(episode, name)
        median = round(float(values.median()), 4)
        threshold = level.count_threshold if name in COUNTS else level.rate_threshold
        difference = values - median
        far = difference.abs() > multiplier * spread(values, median)
        past = (difference / median).abs() >= threshold
        side = difference * way >= 0
        found |= {(date, name) for date in values[far & past & side].index}
    return found


@pytest.mark.parametrize(
    ("method", "names", "way"),
    [
        ("get_median_filter_rows", [*COUNTS, *RATES], 0),
        ("get_rate_drop_from_median_rows", list(RATES), -1),
        ("get_rate_spike_from_median_rows", list(RATES), 1),
        ("get_absolute_drop_in_event_count_rows", COUNTS, -1),
        ("get_absolute_spike_in_event_count_rows", COUNTS, 1),
    ],
)
@pytest.mark.parametrize("multiplier", [0.0, 1.0, 2.5])
def test_row_generators_find_what_pandas_finds(
    method: str, names: list[str], way: int, multiplier: float, session: EpisodeSession,
    episode: FunnelEpisode,
) -> None:  # fmt: skip
    found = result(session, method, threshold_multiplier=multiplier)
    rows = found["generated_rows"]
    assert {(row["date"], row["entity_name"]) for row in rows} == filtered(
        episode, names, multiplier, way
    )
    assert found["match_count"] == len(rows)
    assert all(list(row) == ROW_KEYS.split() for row in rows)


def test_series_generators_find_what_the_rule_flags(
    session: EpisodeSession, episode: FunnelEpisode
) -> None:
    mix = result(session, "get_hourly_traffic_mix_shift_rows", threshold_multiplier=0)
    off = (
        share(episode) - share(episode).median()
    ).abs() >= episode.config.level_with_policy_parameters.mix_threshold
    assert {row["date"] for row in mix["generated_rows"]} == set(off[off].index)
    breaks = result(session, "get_funnel_break_rows", threshold_multiplier=0)["generated_rows"]
    assert breaks
    for row in breaks:
        assert row["delta_value"] / row["baseline_value"] <= -0.35
    name = "get_instrumentation_data_quality_issue_rows"
    faults = result(session, name, threshold_multiplier=0)["generated_rows"]
    wanted = [row for row in episode.expected_rows if row.entity_type == "data_quality"]
    assert wanted
    assert faults == [row.as_dict() for row in wanted]


@pytest.mark.parametrize("method", [name for name in KEYS if name.endswith("_rows")])
def test_generators_can_be_limited_to_dates(
    method: str, session: EpisodeSession, episode: FunnelEpisode
) -> None:
    everything = result(session, method, threshold_multiplier=0)["generated_rows"]
    dates = [*sorted({row["date"] for row in everything})[:1], episode.dates[0]]
    limited = result(session, method, threshold_multiplier=0, dates=dates)
    assert limited["generated_rows"] == [row for row in everything if row["date"] in dates]
    assert limited["match_count"] == len(limited["generated_rows"])


def test_a_generator_can_be_limited_to_metrics(session: EpisodeSession) -> None:
    method = "get_median_filter_rows"
    everything = result(session, method, threshold_multiplier=0)["generated_rows"]
    one = result(session, method, threshold_multiplier=0, metric_names=["app_opens"])
    assert one["metric_names"] == ["app_opens"]
    assert one["generated_rows"] == [r for r in everything if r["entity_name"] == "app_opens"]


def test_payload_generator_merges_rows_of_several_generators_by_key(
    session: EpisodeSession, episode: FunnelEpisode
) -> None:
    both = [
        {"method_name": "median_filter", "threshold_multiplier": 0},
        {"method_name": "rate_drop_from_median", "threshold_multiplier": 0},
        {"method_name": "get_funnel_break_rows", "threshold_multiplier": 0},
    ]
    found = result(session, "payload_generator", generator_methods=both)
    keys = [(r["date"], r["entity_type"], r["entity_name"]) for r in found["generated_rows"]]
    assert len(keys) == len(set(keys)) == found["generated_row_count"]
    alone = result(session, "get_median_filter_rows", threshold_multiplier=0)["match_count"]
    breaks = result(session, "get_funnel_break_rows", threshold_multiplier=0)["match_count"]
    assert len(keys) == alone + breaks  # the rate drops are among the median filter's rows
    limited = [{**both[0], "dates": [episode.dates[0]]}]
    few = result(session, "payload_generator", generator_methods=limited)["generated_rows"]
    assert {row["date"] for row in few} <= {episode.dates[0]}


def test_preview_checks_the_form_and_reveals_no_verdict(session: EpisodeSession) -> None:
    [right, *_] = perfect_report(session)
    wrong = {**right, "severity": "low", "observed_value": 1.0}
    for row in (right, wrong):
        preview = result(session, "preview_submission", rows=[row])
        assert (preview["valid_rows"], preview["invalid_rows"], preview["issues"]) == (1, 0, [])
    preview = result(session, "preview_submission", rows=[right, right, {"date": "x"}])
    assert (preview["valid_rows"], preview["duplicate_rows"], preview["unique_keys"]) == (2, 1, 1)
    assert (preview["invalid_rows"], len(preview["issues"])) == (1, 2)


def test_analysis_changes_nothing(session: EpisodeSession, episode: FunnelEpisode) -> None:
    before = (
        episode.generated.hourly.tobytes(),
        episode.expected_rows,
        episode.series.values.tobytes(),
    )
    for method in KEYS:
        first = result(session, method, **arguments_for(method, episode))
        assert result(session, method, **arguments_for(method, episode)) == first
    assert before == (
        episode.generated.hourly.tobytes(),
        episode.expected_rows,
        episode.series.values.tobytes(),
    )
    with pytest.raises(ValueError, match="read-only"):
        episode.generated.hourly[0, 0, 0] = 1


@pytest.mark.parametrize("method", [name for name, tool in TOOLS.items() if tool.has_episode_data])
def test_the_dates_of_a_result_are_those_of_its_rows_at_any_depth(
    session: EpisodeSession, episode: FunnelEpisode, method: str
) -> None:
    def dates(value: Any) -> set[str]:
        if isinstance(value, list):
            return set().union(*map(dates, value))
        if not isinstance(value, dict):
            return set()
        own = {value["date"]} if "date" in value else set()
        return own.union(*map(dates, value.values()))

    found = result(session, method, **arguments_for(method, episode))
    assert collect_dates_of_result_rows(found) == dates(found)


def test_a_typical_reply_is_compact() -> None:
    session = started()
    date = running_episode(session).dates[3]
    for method, most in (("rows_for_date", 700), ("compare_rate_to_median", 500)):
        arguments = {"date": date}
        if method.startswith("compare"):
            arguments["entity_name"] = "app_open_to_menu_open"
        text = json.dumps(result(session, method, **arguments), separators=(",", ":"))
        assert len(text) <= most, method


def test_frames_have_the_promised_shapes() -> None:
    episode = running_episode(started(seed=3))
    assert episode.daily.shape == (28, 5)
    assert episode.hourly.shape == (672, 5)
    assert (episode.hourly.groupby(level="date").sum() == episode.daily).all().all()
    assert EpisodeConfig(3).level_with_policy_parameters.days == 28
