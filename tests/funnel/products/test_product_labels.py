"""The rules of the independent labeller of products, each on a window worked out by hand."""

from __future__ import annotations

from support.label_windows import (
    CHANGED,
    CHANGED_DATE,
    DATES,
    DAYTIME,
    label_daily,
    label_hourly,
    make_daily_window,
    make_hourly_window,
    names_of,
)


def row_on_changed_day(entity_type, entity_name, anomaly_type, method, values, severity):
    baseline, observed, delta = values
    return {
        "date": CHANGED_DATE,
        "entity_type": entity_type,
        "entity_name": entity_name,
        "anomaly_type": anomaly_type,
        "detection_method": method,
        "baseline_value": baseline,
        "observed_value": observed,
        "delta_value": delta,
        "severity": severity,
    }


def test_ordinary_window_has_no_rows():
    assert label_hourly(make_hourly_window()) == []


def test_drop_of_first_count_is_one_row_without_later_counts():
    counts = make_hourly_window()
    counts[CHANGED] = counts[CHANGED] * 3 // 5
    # 1,152 visits are 40 % fewer, twice the threshold of 20 %; every later count falls by 40 %.
    assert label_hourly(counts) == [
        row_on_changed_day(
            "event_count",
            "visits",
            "absolute_drop_in_event_count",
            "compare_count_to_median",
            (1920, 1152, -768),
            "critical",
        )
    ]


def test_rise_of_first_count_is_a_spike():
    counts = make_hourly_window()
    counts[CHANGED] = counts[CHANGED] * 6 // 5
    [row] = label_hourly(counts)
    # 20 % more reaches the threshold of 20 %.
    assert row["anomaly_type"] == "absolute_spike_in_event_count"
    assert (row["observed_value"], row["delta_value"], row["severity"]) == (2304, 384, "low")


def test_drop_of_step_rate_below_break_threshold_is_a_rate_row_without_consequences():
    counts = make_hourly_window()
    counts[CHANGED, :, 2:] = counts[CHANGED, :, 2:] * 4 // 5
    # 384 orders of 960 carts are 40 %, a fall of 20 %: 1.33 times 15 %. Both composites fall by
    # 20 % too and reach their 15 %.
    assert label_hourly(counts) == [
        row_on_changed_day(
            "conversion_rate",
            "carts_to_orders",
            "rate_drop_from_median",
            "compare_rate_to_median",
            (50, 40, -10),
            "medium",
        )
    ]


def test_drop_of_step_rate_past_break_threshold_is_a_break_without_consequences():
    counts = make_hourly_window()
    counts[CHANGED, :, 2:] = counts[CHANGED, :, 2:] * 3 // 5
    # 288 of 960 are 30 %, a fall of 40 %; the break threshold is max(0.35, 1.6 · 0.15 = 0.24).
    # Orders and payments fall by 40 %, past their 25 %.
    assert label_hourly(counts) == [
        row_on_changed_day(
            "funnel_step",
            "orders_from_carts",
            "funnel_break",
            "detect_funnel_break",
            (50, 30, -20),
            "critical",
        )
    ]


def test_rise_of_step_rate_past_break_threshold_is_no_break():
    counts = make_hourly_window()
    counts[CHANGED, :, 3] = counts[CHANGED, :, 3] * 8 // 5
    [row] = label_hourly(counts)
    # 384 payments of 480 orders: 80 %, 60 % more than 50 %.
    assert (row["entity_type"], row["anomaly_type"]) == (
        "conversion_rate",
        "rate_spike_from_median",
    )
    assert (row["observed_value"], row["delta_value"]) == (80, 30)


def test_lost_events_of_inner_stage_are_one_count_row():
    counts = make_hourly_window()
    counts[CHANGED, :, 1] = counts[CHANGED, :, 1] // 2
    # 480 carts: 25 % of the visits (−50 %), and as many orders (100 %, twice as much).
    assert label_hourly(counts) == [
        row_on_changed_day(
            "event_count",
            "carts",
            "absolute_drop_in_event_count",
            "compare_count_to_median",
            (960, 480, -480),
            "critical",
        )
    ]


def test_doubled_events_of_inner_stage_are_one_count_row():
    counts = make_daily_window(8000, 4000, 2000, 1000)
    counts[CHANGED, 0, 2] = 4000
    # s1_to_s2 is 100 % (doubled), s2_to_s3 25 % (halved).
    [row] = label_daily(counts)
    assert (row["entity_name"], row["anomaly_type"]) == ("s2", "absolute_spike_in_event_count")
    assert (row["baseline_value"], row["observed_value"]) == (2000, 4000)


def test_inner_count_between_rates_of_one_sign_is_two_steps():
    counts = make_daily_window(8000, 4000, 2000, 1000)
    thresholds = {"s1": 0.25, "s2": 0.7, "s3": 2.0, "s0_to_s2": 0.9, "s0_to_s3": 0.9}
    counts[CHANGED, 0] = [9500, 3000, 1200, 600]
    # s1 −25 % reaches its threshold; s0 and s2 (−40 % of 70 %) do not. Its rates are 31.5789 %
    # (−36.8 %) and 40 % (−20 %): both fall, so no events were lost.
    rows = label_daily(counts, thresholds=thresholds)
    assert names_of(rows) == ["s1_from_s0", "s1_to_s2"]


def test_lost_events_with_a_flagged_neighbour_are_two_rates():
    counts = make_daily_window(8000, 4000, 2000, 1000)
    # s1 −40 %, s2 −30 %: past its 25 %, so rule 3 does not apply. s0_to_s1 is 30 % (a break at
    # −40 %), s1_to_s2 58.3333 % (+16.67 %), s2_to_s3 50 % as before.
    counts[CHANGED, 0] = [8000, 2400, 1400, 700]
    rows = label_daily(counts)
    assert names_of(rows) == ["s1_from_s0", "s1_to_s2"]
    assert rows[1]["observed_value"] == 58.3333
    assert rows[1]["delta_value"] == 8.3333


def test_last_stage_events_lost_are_a_moved_step():
    counts = make_hourly_window()
    counts[CHANGED, :, 3] = counts[CHANGED, :, 3] * 4 // 5
    assert names_of(label_hourly(counts)) == ["orders_to_payments"]


def test_impossible_counts_exclude_other_rows_and_are_graded_by_pair():
    counts = make_hourly_window()
    counts[CHANGED] = counts[CHANGED] * 3 // 5  # Visits fall by 40 %; night hours are 24, 12, 6, 3.
    counts[CHANGED, 0, 1] = 26  # 2 above the visits
    counts[CHANGED, 2, 3] = 11  # 5 above the orders
    counts[CHANGED, 3, 3] = 7  # 1 above the orders
    # The median of visits is 1,920, so the unit is max(1, 0.192): medium from 2, high from 6.
    quality = ("instrumentation_data_quality_issue", "check_impossible_counts")
    assert label_hourly(counts) == [
        row_on_changed_day("data_quality", "carts_lte_visits", *quality, (0, 2, 2), "medium"),
        row_on_changed_day("data_quality", "payments_lte_orders", *quality, (0, 6, 6), "high"),
    ]


def test_impossible_counts_by_day_ignore_single_hours():
    counts = make_hourly_window()
    counts[CHANGED, 0, 1] = 50
    assert label_hourly(counts, impossible_counts="day") == []
    assert names_of(label_hourly(counts)) == ["carts_lte_visits"]


def test_moved_daytime_share_is_a_mix_row():
    counts = make_hourly_window()
    counts[CHANGED, :, 0] = 52
    counts[CHANGED, DAYTIME, 0] = 108
    # 1,296 of 1,920 visits: 0.675, which is 0.075 less; 1.5 times the threshold of 0.05.
    assert label_hourly(counts) == [
        row_on_changed_day(
            "hourly_mix",
            "visits:daytime_share",
            "hourly_traffic_mix_shift",
            "hourly_rows_for_date",
            (0.75, 0.675, -0.075),
            "high",
        )
    ]


def test_daytime_share_uses_the_hours_of_the_product():
    counts = make_hourly_window()
    counts[CHANGED, 7, 0] = 240
    counts[CHANGED, 8:13, 0] -= 40
    # 200 visits move from hours 8 to 12 to hour 7: −200 / 1,920 = −0.104 for hours 8 to 19. For
    # hours 7 to 19 the share does not change.
    assert names_of(label_hourly(counts)) == ["visits:daytime_share"]
    assert label_hourly(counts, daytime=[7, 20]) == []


def test_mix_shift_shares_its_day_with_another_row():
    counts = make_hourly_window()
    counts[CHANGED, :, 0] = 52
    counts[CHANGED, DAYTIME, 0] = 108
    counts[CHANGED, :, 2:] = counts[CHANGED, :, 2:] * 4 // 5
    assert names_of(label_hourly(counts)) == ["visits:daytime_share", "carts_to_orders"]


def test_slow_leak_is_the_shorter_composite():
    counts = make_daily_window(8000, 4000, 2000, 1000)
    counts[CHANGED, 0] = [8000, 3600, 1620, 729]
    # Each step falls by 10 % of 15 %. s0_to_s2: 20.25 % instead of 25 %, −19 %, 1.27 times its
    # 15 %. s0_to_s3 falls by 27.1 % and the last count too (past 25 %); both are consequences.
    assert label_daily(counts) == [
        row_on_changed_day(
            "conversion_rate",
            "s0_to_s2",
            "rate_drop_from_median",
            "compare_rate_to_median",
            (25, 20.25, -4.75),
            "medium",
        )
    ]


def test_slow_leak_is_the_longer_composite_if_only_that_is_flagged():
    counts = make_daily_window(8000, 4000, 2000, 1000)
    # Steps −7, −7 and −7 %: s0_to_s2 falls by 13.5 %, s0_to_s3 by 19.6 %.
    counts[CHANGED, 0] = [8000, 3720, 1730, 804]
    assert names_of(label_daily(counts)) == ["s0_to_s3"]


def test_composite_beside_a_flagged_step_is_no_leak():
    counts = make_daily_window(8000, 4000, 2000, 1000)
    # s0_to_s1 +20 %, so its row is the only one although s0_to_s2 rises by 20 % too.
    counts[CHANGED, 0] = [8000, 4800, 2400, 1200]
    assert names_of(label_daily(counts)) == ["s0_to_s1"]


def test_calendar_entry_explains_the_named_series_on_its_date():
    counts = make_hourly_window()
    counts[CHANGED] = counts[CHANGED] * 3 // 5
    entry = {"date": CHANGED_DATE, "explains": ["visits"]}
    assert label_hourly(counts, calendar=[entry]) == []
    other_date = entry | {"date": DATES[CHANGED + 1]}
    assert names_of(label_hourly(counts, calendar=[other_date])) == ["visits"]
    other_series = entry | {"explains": ["carts"]}
    assert names_of(label_hourly(counts, calendar=[other_series])) == ["visits"]


def test_entries_of_one_date_explain_all_their_series():
    counts = make_hourly_window()
    counts[CHANGED, :, 0] = 52
    counts[CHANGED, DAYTIME, 0] = 108
    counts[CHANGED, :, 2:] = counts[CHANGED, :, 2:] * 4 // 5
    mix = {"date": CHANGED_DATE, "explains": ["visits:daytime_share"]}
    rates = ["carts_to_orders", "visits_to_orders", "visits_to_payments"]
    step = {"date": CHANGED_DATE, "explains": rates}
    assert label_hourly(counts, calendar=[mix, step]) == []


def test_explained_step_rate_leaves_its_flagged_composite_to_the_leak_rule():
    counts = make_hourly_window()
    counts[CHANGED, :, 2:] = counts[CHANGED, :, 2:] * 4 // 5
    entry = {"date": CHANGED_DATE, "explains": ["carts_to_orders"]}
    assert names_of(label_hourly(counts, calendar=[entry])) == ["visits_to_orders"]


def test_calendar_does_not_explain_impossible_counts():
    counts = make_hourly_window()
    counts[CHANGED, 0, 1] = 50
    entry = {"date": CHANGED_DATE, "explains": ["visits", "carts", "visits_to_carts"]}
    assert names_of(label_hourly(counts, calendar=[entry])) == ["carts_lte_visits"]
