"""Tests of the wire contract: names, replies of reset and step, errors, and the lean profile."""

from __future__ import annotations

import json
from typing import Any

import pytest

from firewatch_next.actions.contract_names import (
    CONTRACT_NAMES,
    INVESTIGATIONS,
    REMEDIATIONS,
)
from firewatch_next.environment import ENVIRONMENT
from firewatch_next.faults.fault_type import FaultType
from firewatch_next.grading.par import PAR_START_TICKS, plan_repairs
from firewatch_next.messages import BRIEF
from firewatch_next.session import FirewatchSession
from firewatch_next.tools import FULL_TOOLS, LEAN_TOOLS, build_action, build_tool_call
from openenv_kit.environment import Reply

SERVICE_KEYS = {
    "http_server_error_rate", "http_server_request_duration_p50",
    "http_server_request_duration_p95", "http_server_request_duration_p99",
    "http_server_active_requests", "process_cpu_utilization", "process_memory_utilization",
    "status", "recent_logs",
}  # fmt: skip
OBSERVATION_KEYS = {
    "services", "active_alerts", "dependency_graph", "slo_budget_remaining_pct",
    "bad_customer_minutes", "sim_tick", "sim_time_elapsed_seconds", "action_history",
    "incident_declared", "user_impact_active", "current_slo_burn_rate", "mttm_achieved_tick",
    "episode_score", "tool_result",
}  # fmt: skip
ALERT_KEYS = {
    "alert_id", "alertname", "service_name", "severity", "description", "metric_name",
    "metric_value", "threshold_value", "fired_at_tick",
}  # fmt: skip


def start(**arguments: Any) -> FirewatchSession:
    session = FirewatchSession()
    reply = session.reset(**({"task_id": "task_easy_oom_baseline"} | arguments))
    assert reply.status == "running", reply.message
    return session


def step(
    session: FirewatchSession, name: str, target: str | None = None, **parameters: Any
) -> Reply:
    action: dict[str, Any] = {"action_type": name}
    if target is not None:
        action["target_service"] = target
    if parameters:
        action["parameters"] = parameters
    return session.step(action)


def first_service(session: FirewatchSession) -> str:
    assert session.incident is not None
    return next(iter(session.incident.world.services))


def test_all_contract_names_are_known() -> None:
    assert (len(INVESTIGATIONS), len(REMEDIATIONS), len(CONTRACT_NAMES)) == (16, 54, 72)


def test_models_are_offered_22_tools_or_ten() -> None:
    assert len(FULL_TOOLS) == 22
    assert len(LEAN_TOOLS) == 10


def test_reset_reply_has_every_key_of_the_contract() -> None:
    session = FirewatchSession()
    reply = session.reset(task_id="task_easy_oom_baseline", seed=42)
    fields = reply.observation_fields
    assert fields.keys() >= OBSERVATION_KEYS
    assert reply.reward is None
    assert fields["sim_tick"] == 0
    assert fields["slo_budget_remaining_pct"] == 100.0
    assert all(service.keys() == SERVICE_KEYS for service in fields["services"].values())
    assert fields["active_alerts"]
    assert all(alert.keys() == ALERT_KEYS for alert in fields["active_alerts"])
    assert fields["dependency_graph"].keys() == fields["services"].keys()
    json.dumps(fields)
    ENVIRONMENT.wire_models.observation.model_validate({**fields, "message": reply.message})


def test_brief_and_messages_are_short_enough() -> None:
    assert len(BRIEF) <= 2000
    session = start()
    assert len(step(session, "query_metrics", "*", metrics="error_ratio").message) <= 2000


@pytest.mark.parametrize("name", sorted(CONTRACT_NAMES))
def test_every_contract_name_is_answered(name: str) -> None:
    session = start()
    target = None if name in ("declare_resolved", "escalate") else first_service(session)
    reply = step(session, name, target)
    assert reply.info is not None
    assert reply.info["error"] is None
    assert reply.info["action_feedback"]
    assert reply.observation_fields["sim_tick"] == 1


def test_fetch_logs_fills_recent_logs_and_keeps_them() -> None:
    session = start()
    name = first_service(session)
    assert not session.reset(task_id="task_easy_oom_baseline").observation_fields["services"][name][
        "recent_logs"
    ]
    lines = step(session, "fetch_logs", name).observation_fields["services"][name]["recent_logs"]
    assert 0 < len(lines) <= 8
    later = step(session, "escalate").observation_fields["services"][name]["recent_logs"]
    assert later == lines


def test_wrong_action_costs_a_tick_and_names_the_nearest() -> None:
    session = start()
    reply = step(session, "restart_servic", first_service(session))
    assert reply.info is not None
    assert "Did you mean 'restart_service'" in reply.info["error"]
    assert reply.observation_fields["sim_tick"] == 1
    assert reply.reward == 0.0
    reply = step(session, "restart_service", "no-such-service")
    assert reply.info is not None
    assert "no-such-service" in reply.info["error"]
    reply = step(session, "set_flag", first_service(session), percent=3)
    assert reply.info is not None
    assert "flag" in reply.info["error"]
    assert reply.observation_fields["sim_tick"] == 3


def test_step_without_reset_is_answered() -> None:
    reply = FirewatchSession().step({"action_type": "escalate"})
    assert reply.info is not None
    assert reply.info["error"] == "reset first"
    assert reply.observation_fields["services"] == {}
    assert not reply.done


def play_certified_repairs(session: FirewatchSession) -> Reply:
    """Play the certified repairs and declare four ticks after the last."""
    incident = session.incident
    assert incident is not None
    pairs: tuple[tuple[FaultType, Any], ...] = incident.task.faults
    calls = plan_repairs(incident.task.world, pairs, PAR_START_TICKS["easy"])
    for timed in calls:
        while incident.world.tick + 1 < timed.tick:
            step(session, "escalate")
        arguments = dict(timed.call.arguments)
        service = arguments.pop("service")
        reply = step(session, timed.call.name, service, **arguments)
        assert reply.info is not None
        assert reply.info["error"] is None
    for _ in range(4):
        step(session, "escalate")
    return step(session, "declare_resolved")


def test_certified_repairs_earn_a_high_score() -> None:
    session = start()
    reply = play_certified_repairs(session)
    assert reply.done
    assert reply.info is not None
    parts = reply.info["score_parts"]
    assert parts["resolved"] == 1
    assert parts["unneeded"] == 0
    assert reply.reward == reply.observation_fields["episode_score"]
    assert reply.reward is not None
    assert reply.reward >= 0.9
    after = step(session, "escalate")
    assert after.reward == 0.0
    assert after.done


def test_doing_nothing_earns_nothing() -> None:
    session = start()
    rewards = [step(session, "escalate").reward for _ in range(20)]
    assert session.done
    assert rewards == [0.0] * 20


def test_repeat_is_free_and_nothing_here_is_needless() -> None:
    session = start()
    incident = session.incident
    assert incident is not None
    entry = incident.world.entries[0].name
    step(session, "set_limit", entry, kind="rate", value=99999)
    step(session, "set_limit", entry, kind="rate", value=99999)
    assert len(incident.changes) == 1
    step(session, "inject_missing_env_var", entry)
    assert [change.had_nothing_to_change for change in incident.changes] == [False, True]


def test_lean_profile_has_short_replies_and_is_for_easy_levels_only() -> None:
    session = start(profile="lean")
    assert ENVIRONMENT.tools.select_for_episode({"profile": "lean"}).tools == LEAN_TOOLS
    reply = step(session, "query_metrics", "*", metrics="error_ratio,request_rate")
    assert len(reply.message) <= 600
    refused = session.reset(difficulty="hard", seed=1, profile="lean")
    assert refused.status == "error"
    assert "profile is 'lean'" in refused.message


def test_tool_calls_and_actions_are_inverse() -> None:
    arguments = {"service": "cart-api", "flag": "cart.fast_path", "percent": 0}
    assert build_tool_call(build_action("set_flag", arguments)).arguments == arguments
    repair = {"name": "force_ntp_sync", "target_service": "cart-api", "parameters": {}}
    assert build_tool_call(build_action("run_repair", repair)).arguments == repair


def test_no_label_is_shown_before_the_end() -> None:
    session = start()
    incident = session.incident
    assert incident is not None
    texts = [json.dumps(session.build_extra_state_fields())]
    for name in ("list_changes", "fetch_logs", "show_service_map"):
        reply = step(session, name, first_service(session))
        texts.append(json.dumps(reply.observation_fields) + json.dumps(reply.info) + reply.message)
    for text in texts:
        for fault_type, _ in incident.task.faults:
            assert fault_type.name not in text
        assert incident.task.spec.identity not in text
