"""Valid and invalid messages of the recorded conversations."""

from __future__ import annotations

from typing import Any

DATE = "2022-05-13"
LIST = {"analysis_method": "list_dates"}
ROW = {
    "date": DATE,
    "entity_type": "conversion_rate",
    "entity_name": "app_open_to_menu_open",
    "anomaly_type": "rate_spike_from_median",
    "detection_method": "compare_rate_to_median",
    "baseline_value": 58.2974,
    "observed_value": 80.6015,
    "delta_value": 22.3041,
    "severity": "high",
}
RIGHT = [
    ROW,
    {
        **ROW,
        "date": "2022-06-02",
        "entity_name": "product_added_to_cart_to_order_placed",
        "baseline_value": 51.375,
        "observed_value": 70.0573,
        "delta_value": 18.6823,
    },
]
METHOD = {"method_name": "rate_spike_from_median", "threshold_multiplier": 2.0}
CALLS: list[tuple[str, dict[str, Any]]] = [
    ("task_overview", {}),
    ("list_dates", {}),
    ("list_entities", {}),
    ("rows_for_date", {"date": DATE}),
    ("hourly_rows_for_date", {"date": DATE}),
    ("show_raw_data", {"limit": 2}),
    ("list_calendar", {}),
    ("preview_submission", {"rows": [ROW]}),
    ("compare_rate_to_median", {"date": DATE, "entity_name": "app_open_to_menu_open"}),
    ("compare_count_to_median", {"date": DATE, "entity_name": "app_opens"}),
    ("detect_funnel_break", {"date": DATE}),
    ("check_impossible_counts", {"date": DATE}),
    ("list_suspicious_dates", {"limit": 2}),
    ("get_metric_median", {"metric_name": "app_opens"}),
    ("get_metric_std_dev_from_median", {"metric_names": ["app_opens", "menu_opens"]}),
    ("get_rows_with_abs_diff_from_median_gt", {"metric_name": "app_opens", "threshold": 400.0}),
    ("payload_generator", {"generator_methods": [METHOD]}),
    ("get_median_filter_rows", {"threshold_multiplier": 2.5}),
    ("get_rate_drop_from_median_rows", {"threshold_multiplier": 2}),
    ("get_rate_spike_from_median_rows", {"threshold_multiplier": 2}),
    ("get_absolute_drop_in_event_count_rows", {"threshold_multiplier": 2}),
    ("get_absolute_spike_in_event_count_rows", {"threshold_multiplier": 2}),
    ("get_funnel_break_rows", {"threshold_multiplier": 2}),
    ("get_hourly_traffic_mix_shift_rows", {"threshold_multiplier": 2}),
    ("get_instrumentation_data_quality_issue_rows", {"threshold_multiplier": 2}),
]
BAD_ACTIONS: list[Any] = [
    {"analysis_method": "list_date"},
    {"analysis_method": 7},
    {"analysis_method": "rows_for_date"},
    {"analysis_method": "rows_for_date", "analysis_args": {"date": "2001-01-01"}},
    {"analysis_method": "rows_for_date", "analysis_args": []},
    {"analysis_args": {"date": DATE}},
    {"surprise": 1},
    {"analysis_method": "list_dates", "metadata": {"note": 1}},
    {"analysis_method": "list_dates", "classifications": [ROW]},
    {"classifications": {"date": DATE}},
    {"payload_generators": ["rate_spike_from_median"]},
    {"payload_generators": [{"method_name": "median_filer"}]},
    {"analysis_method": "get_metric_median", "analysis_args": {"metric_name": 10**30}},
    {"analysis_method": "\ud800"},
]
BAD_RESETS: list[dict[str, Any]] = [
    {"task_id": "easy_spike"},
    {"task": "easy_single_spike"},
    {"episode_id": ""},
    {"episode_id": 5},
    {"episode_id": "\ud800"},
    {"max_steps": 501},
    {"max_steps": 0},
    {"max_submissions": 6},
    {"max_submissions": 2, "feedback": "score"},
    {"seed": 1.5},
    {"split": "train", "seed": 1},
    {"split": "trian"},
    {"index": 10**9},
    {"anomalies": [3]},
    {"resume": True},
    {"resume": 1, "episode_id": "x"},
    {"resume": True, "episode_id": "unknown"},
]
BAD_MESSAGES = [
    "",
    "{",
    "null",
    "[1,2]",
    '"reset"',
    "[" * 100,
    '{"type":"step","data":' + '{"a":' * 70 + "1" + "}" * 71,
    '{"type":"step","data":{' + ",".join(f'"k{n}":{n}' for n in range(1001)) + "}}",
    '{"type":"step","data":{"x":[' + "0," * 20_001 + "0]}}",
    "{}",
    '{"type":"resett"}',
    '{"type":["reset"]}',
    '{"type":"step"}',
    '{"type":"step","data":3}',
    '{"type":"step","data":{},"extra":1}',
    '{"type":"reset","data":[]}',
    '{"type":"state","data":{}}',
    '{"type":"close","extra":1}',
    '{"type":"mcp"}',
    '{"type":"step","data":{"analysis_method":NaN}}',
]
BAD_RPC = [
    "{}",
    "[]",
    "{",
    "[" * 100,
    "3",
    '{"jsonrpc":"1.0","id":1,"method":"ping"}',
    '{"jsonrpc":"2.0","id":1,"method":5}',
    '{"jsonrpc":"2.0","id":1.5,"method":"ping"}',
    '{"jsonrpc":"2.0","id":true,"method":"ping"}',
    '{"jsonrpc":"2.0","id":"\\ud800","method":"ping"}',
    '{"jsonrpc":"2.0","id":1,"method":"ping","params":[1]}',
    '{"jsonrpc":"2.0","id":1,"method":"resources/list"}',
    '{"jsonrpc":"2.0","id":null,"method":"ping"}',
]
BAD_TOOL_CALLS: list[dict[str, Any]] = [
    {},
    {"name": "list_date"},
    {"name": 5},
    {"name": "reset"},
    {"name": "list_dates", "arguments": [1]},
    {"name": "rows_for_date"},
    {"name": "rows_for_date", "arguments": {"date": "1999-01-01"}},
    {"name": "submit_solution"},
    {"name": "submit_solution", "arguments": {"row": []}},
    {"name": "submit_payload_generator", "arguments": {"generator_methods": []}},
]


WRONG: list[tuple[str, dict[str, Any]]] = [
    ("list_date", {}),
    ("rows_for_date", {"date": "2001-01-01"}),
    ("rows_for_date", {"day": DATE}),
]
REPORT = ("submit_solution", {"rows": RIGHT})
MODES: dict[str, tuple[dict[str, Any], list[tuple[str, dict[str, Any]]]]] = {
    "lean": (
        {"profile": "lean"},
        [
            ("overview", {}),
            ("scan", {"first": 1}),
            ("day", {"date": DATE}),
            ("hours", {"date": DATE}),
            ("calendar", {}),
            *WRONG,
            ("day", {"date": "2001-01-01"}),
            ("submit", {"ids": [4, 12]}),
            ("calendar", {}),
        ],
    ),
    "raw": ({"disclosure": "raw"}, [CALLS[0], *CALLS[3:7], *WRONG, REPORT, CALLS[1]]),
    "varied": ({"policy": "varied"}, [CALLS[0], CALLS[6], CALLS[12], *WRONG, REPORT, CALLS[1]]),
}
"""By name: further arguments of the reset, and the calls of an episode."""


def rpc(method: str, request_id: Any = 1, **params: Any) -> dict[str, Any]:
    """Return a JSON-RPC request."""
    return {"jsonrpc": "2.0", "id": request_id, "method": method, "params": params}
