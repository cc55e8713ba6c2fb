"""Tools: arguments and their schemas."""

from __future__ import annotations

from openenv_kit.environment import get_environment

GOOD = {"analysis_method": "list_dates"}


def test_null_is_accepted_for_optional_tool_argument() -> None:
    session = get_environment("metric_tracker_rl").create_session()
    session.reset(split="test", index=0)
    for method, arguments in (
        ("list_suspicious_dates", {"limit": None}),
        ("get_metric_median", {"metric_name": "app_opens", "metric_names": None}),
    ):
        action = {"analysis_method": method, "analysis_args": arguments}
        assert session.step(action).status == "analyzed"
    required = {"analysis_method": "rows_for_date", "analysis_args": {"date": None}}
    assert session.step(required).status == "error"


def test_null_is_accepted_for_optional_action_field() -> None:
    session = get_environment("metric_tracker_rl").create_session()
    session.reset(split="test", index=0)
    nulls = {
        "classifications": None,
        "payload_generators": None,
        "analysis_args": None,
        "metadata": None,
    }
    assert session.step({**nulls, **GOOD}).status == "analyzed"
    assert session.step({"nonsense": None}).status == "error"
