"""A play as the wire contract has it: every key, every mistake, every end."""

from __future__ import annotations

import json
from typing import Any

import pytest

from firewatch_env.evidence.observation import nothing
from firewatch_env.policies.reference import reference
from firewatch_env.session import FirewatchSession as Session
from openenv_kit.environment import Reply

SERVICE_KEYS = {
    "http_server_error_rate", "http_server_request_duration_p50",
    "http_server_request_duration_p95", "http_server_request_duration_p99",
    "http_server_active_requests", "process_cpu_utilization", "process_memory_utilization",
    "status", "recent_logs",
}  # fmt: skip


def a_session(**reset: Any) -> tuple[Session, Reply]:
    session = Session()
    return session, session.reset(**(reset or {"task_id": "task_medium_retry_storm"}))


def test_every_key_of_the_contract_is_in_every_observation() -> None:
    session, reply = a_session()
    target = next(iter(reply.observation_fields["services"]))
    answers = [
        Session().step({}),
        reply,
        session.step({"action_type": "fetch_logs", "target_service": target}),
        session.step({"action_type": "nonsense"}),
        session.step({"action_type": "declare_resolved"}),
        session.step({"action_type": "declare_resolved"}),
    ]
    for answer in answers:
        assert tuple(answer.observation_fields) == (*nothing(), "score_parts")
        for view in answer.observation_fields["services"].values():
            assert set(view) == SERVICE_KEYS
        json.dumps(answer.observation_fields, allow_nan=False)


def test_numbers_at_reset_are_those_of_a_fresh_incident() -> None:
    _, reply = a_session()
    seen = reply.observation_fields
    assert (seen["sim_tick"], seen["slo_budget_remaining_pct"]) == (0, 100.0)
    assert (seen["bad_customer_minutes"], seen["mttm_achieved_tick"]) == (0, None)
    assert seen["user_impact_active"] is True
    assert reply.reward is None
    assert not reply.done


def test_a_step_before_any_reset_says_so() -> None:
    reply = Session().step({"action_type": "fetch_logs"})
    assert reply.info["error"] == "reset first"
    assert reply.observation_fields["services"] == {}
    assert (reply.reward, reply.done) == (0.0, False)


@pytest.mark.parametrize(
    ("action", "named"),
    [
        ({"action_type": "fetch_log", "target_service": "x"}, "'fetch_logs'"),
        ({"action_type": "fetch_logs"}, "None"),
        ({"action_type": 7, "target_service": []}, "7"),
        ({}, "None"),
        ({"action_type": "fetch_logs", "target_service": {"a": 1}}, "{'a': 1}"),
    ],
)
def test_a_mistake_names_the_value_what_is_allowed_and_costs_a_tick(
    action: dict[str, Any], named: str
) -> None:
    session, _ = a_session()
    reply = session.step(action)
    assert named in reply.info["error"]
    assert "llowed: " in reply.info["error"]
    assert reply.info["action_valid"] is False
    assert reply.observation_fields["sim_tick"] == 1
    assert not reply.done


def test_a_misspelt_service_is_answered_with_the_nearest_one() -> None:
    session, reply = a_session()
    for name in reply.observation_fields["services"]:
        reply = session.step({"action_type": "fetch_logs", "target_service": f"{name}s"})
        assert f"Did you mean {name!r}" in reply.info["error"]


def test_a_parameter_beside_the_target_counts_and_parameters_come_first() -> None:
    def feedback(**more: Any) -> str:
        session, reply = a_session()
        target = next(iter(reply.observation_fields["services"]))
        action = {"action_type": "scale_replicas", "target_service": target}
        return str(session.step({**action, **more}).info["action_feedback"])

    nested = feedback(parameters={"replicas": 11})
    assert "11" in nested
    assert feedback(replicas=11) == nested
    assert feedback(replicas=3, parameters={"replicas": 11}) == nested
    assert feedback() != nested


def test_unknown_parameters_are_ignored_and_named() -> None:
    session, reply = a_session()
    target = next(iter(reply.observation_fields["services"]))
    action = {"action_type": "scale_replicas", "target_service": target}
    reply = session.step({**action, "parameters": {"replicas": 6, "colour": "red"}})
    assert reply.info["error"] is None
    assert "ignored: colour" in reply.info["action_feedback"]


def test_a_bad_reset_leaves_the_running_episode_as_it_is() -> None:
    session, _ = a_session()
    before = session.step({"action_type": "escalate"}).observation_fields
    reply = session.reset(task_id="task_easy_oom_basline")
    assert reply.info["error"]
    assert reply.observation_fields == before
    assert session.step({"action_type": "escalate"}).observation_fields["sim_tick"] == 2


def test_the_reward_is_nothing_until_the_end_and_then_the_score() -> None:
    session, reply = a_session(task_id="task_easy_oom_baseline")
    for tick in range(1, 21):
        reply = session.step({"action_type": "escalate"})
        assert reply.done == (tick == 20)
        assert reply.reward == 0.0
    assert reply.observation_fields["episode_score"] == 0.0
    assert reply.info["score_parts"].keys() >= {
        "impact", "precision", "closure", "unneeded", "recovered",
    }  # fmt: skip
    after = session.step({"action_type": "escalate"})
    assert after.done
    assert after.info["error"]
    assert after.observation_fields == reply.observation_fields
    assert after.reward == reply.reward


def test_the_history_holds_the_last_ten_actions() -> None:
    session, _ = a_session()
    for _ in range(12):
        reply = session.step({"action_type": "escalate"})
    history = reply.observation_fields["action_history"]
    assert len(history) == 10
    assert set(history[0]) == {"action_type", "target_service", "feedback_string"}


def test_logs_that_were_fetched_stay_until_they_are_fetched_again() -> None:
    session, reply = a_session()
    target = sorted(reply.observation_fields["services"])[0]
    first = session.step({"action_type": "fetch_logs", "target_service": target})
    lines = first.observation_fields["services"][target]["recent_logs"]
    assert lines
    later = session.step({"action_type": "escalate"})
    assert later.observation_fields["services"][target]["recent_logs"] == lines


def test_a_number_that_two_tasks_share_is_told_apart_by_the_task_id() -> None:
    for name in ("task_easy_thundering_herd", "task_easy_log_storm_disk"):
        session, _ = a_session(task_id=name, seed=336)
        assert session.state().task_id == name
    session, _ = a_session(difficulty="hard", seed=2048)
    assert session.state().task_id == "task_hard_adversarial_triple"


def test_another_seed_redraws_a_named_tasks_world() -> None:
    _, first = a_session(task_id="task_easy_oom_baseline")
    _, second = a_session(task_id="task_easy_oom_baseline", seed=43)
    assert second.info["error"] is None
    assert first.observation_fields["services"] != second.observation_fields["services"]


def test_at_reset_impact_and_burn_rate_agree() -> None:
    for task_id, harm in (
        ("task_medium_retry_storm", True),
        ("task_medium_canary_false_alert", False),
    ):
        seen = a_session(task_id=task_id)[1].observation_fields
        assert seen["user_impact_active"] == (seen["current_slo_burn_rate"] > 0) == harm


def test_an_exact_reward_is_one_or_nothing() -> None:
    for right, paid in ((False, 0.0), (True, 1.0)):
        session, reply = a_session(task_id="task_easy_dns_nxdomain", reward="exact")
        script = reference({"message": reply.message})
        action = next(script)
        entry = next(iter(reply.observation_fields["dependency_graph"]))
        if not right:
            session.step({"action_type": "force_ntp_sync", "target_service": entry})
        while not session.done:
            reply = session.step(action)
            if not session.done:
                action = script.send({"message": reply.message})
        assert reply.reward == paid
        assert 0.5 < reply.observation_fields["episode_score"] <= 1
    assert "'exact'" in Session().reset(reward="exat").message


def test_a_split_takes_no_seed_and_no_difficulty_beside_it() -> None:
    for more in ({"seed": 3}, {"difficulty": "easy"}):
        reply = Session().reset(split="train", index=1, **more)
        assert "nothing beside a split" in reply.message
    assert not Session().reset(split="train", index=1).info["error"]


def test_no_name_of_a_task_that_a_player_reads_holds_its_seed() -> None:
    session, reply = a_session(difficulty="hard", seed=977_123)
    everything = json.dumps([reply.observation_fields, reply.message, session.state().model_dump()])
    assert "977123" not in everything
    assert session.build_episode_identity()["reset"] == {"difficulty": "hard", "seed": 977_123}
