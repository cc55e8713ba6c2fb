"""Gates: players that do not look earn next to nothing, the reference everything."""

from __future__ import annotations

import pytest

from firewatch_env.gates import gates, score, tasks_of
from firewatch_env.policies.blind import declare_at_once, null
from firewatch_env.policies.keyword_rules import keyword_rules
from firewatch_env.policies.reference import reference
from firewatch_env.policies.seen import FEEDBACK, LOG_LINES, Seen


def test_what_a_policy_sees_is_cut_as_in_an_existing_client() -> None:
    views = {"a": {"recent_logs": [str(n) for n in range(8)], "status": "healthy"}}
    seen = Seen({"services": views}, {"action_feedback": "x" * 300})
    assert len(seen.feedback) == FEEDBACK
    assert seen.lines("a") == ["4", "5", "6", "7"]
    assert len(seen.lines("a")) == LOG_LINES
    assert "recent_logs" not in seen.services["a"]


def test_the_reference_solves_what_nobody_solves_blindly() -> None:
    tasks = tasks_of("named", 0)[::6]
    assert [score(task, reference) for task in tasks] == [1.0] * len(tasks)
    for blind in (null, declare_at_once):
        assert max(score(task, blind) for task in tasks) <= 0.4


def test_the_rules_of_existing_clients_end_every_episode() -> None:
    for task in tasks_of("named", 0)[::7]:
        assert 0 <= score(task, keyword_rules) <= 1


@pytest.mark.slow
def test_every_gate_holds_on_the_named_tasks() -> None:
    tasks = tasks_of("named", 0)
    for gate in gates():
        mean = gate.mean(tasks)
        assert gate.holds(mean), (gate.name, mean)
