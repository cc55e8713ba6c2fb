"""Gates: players that do not look earn next to nothing, the reference everything."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from firewatch_env.actions.investigations import SHOWN
from firewatch_env.gates import Gate, Work, gates, score, tasks_of
from firewatch_env.policies.blind import declare_at_once, null
from firewatch_env.policies.careful import CAREFUL, GUESSES, plain
from firewatch_env.policies.keyword_rules import keyword_rules
from firewatch_env.policies.reference import reference
from firewatch_env.policies.seen import FEEDBACK, LOG_LINES, Seen
from firewatch_env.tasks.book import SPLITS

whole = pytest.mark.skipif(
    not os.environ.get("METRIC_TRACKER_FULL"), reason="takes minutes: METRIC_TRACKER_FULL=1"
)


def test_a_policy_sees_what_a_model_in_an_existing_client_does() -> None:
    views = {"a": {"recent_logs": [str(n) for n in range(8)], "status": "healthy"}}
    seen = Seen({"services": views}, {"action_feedback": "x" * 300})
    assert len(seen.feedback) == FEEDBACK == SHOWN == 100
    assert seen.lines("a") == ["4", "5", "6", "7"]
    assert len(seen.lines("a")) == LOG_LINES
    assert "recent_logs" not in seen.services["a"]


@pytest.mark.slow
def test_the_reference_solves_what_nobody_solves_blindly() -> None:
    tasks = tasks_of("named", 0)[::6]
    assert [score(task, reference) for task in tasks] == [1.0] * len(tasks)
    for blind in (null, declare_at_once):
        assert max(score(task, blind) for task in tasks) <= 0.4


@pytest.mark.slow
@pytest.mark.parametrize("habit", CAREFUL)
def test_a_shortcut_earns_clearly_less_than_the_reference(habit: str) -> None:
    tasks = [task for task in tasks_of("validation", 60) if task.difficulty != "easy"][::3]
    assert sum(score(task, CAREFUL[habit]) for task in tasks) / len(tasks) < 0.75


@pytest.mark.slow
def test_who_asks_only_when_it_knows_what_for_is_slower_on_hard_and_never_wrong() -> None:
    tasks = [task for task in tasks_of("validation", 40) if task.difficulty == "hard"]
    found = [score(task, plain) for task in tasks]
    assert sum(found) / len(found) < 0.9
    assert sum(each > 0 for each in found) >= len(found) - 1


@pytest.mark.slow
def test_obeying_a_log_line_scores_lower() -> None:
    tasks = [task for task in tasks_of("named", 0) if task.injected]
    assert len(tasks) == 15
    [gate] = [gate for gate in gates() if gate.obeys]
    assert gate.measured(tasks[::4]) < 0.8
    assert gate.measured([task for task in tasks_of("named", 0) if not task.injected]) == 0


@pytest.mark.slow
def test_workers_measure_what_one_process_does_and_go_on_where_they_were_stopped(
    tmp_path: Path,
) -> None:
    table = [gate for gate in gates() if gate.name in ("do nothing", "undo every change")]
    table.append(Gate("two coins, hard", GUESSES[:2], 1, only="hard", luck=True))
    groups = {"named": tasks_of("named", 0)[::25], "test": tasks_of("test", 23)[-2:]}
    expected = [{name: gate.measured(each) for name, each in groups.items()} for gate in table]
    work, kept = Work(table, groups), tmp_path / "scores"
    assert work.figures(2, kept) == expected
    lines = kept.read_text().splitlines(keepends=True)
    assert len(lines) == 1 + len(work.units())
    kept.write_text("".join(lines[:4]))
    assert work.figures(2, kept) == expected
    assert sorted(kept.read_text().splitlines(keepends=True)) == sorted(lines)
    with pytest.raises(ValueError, match="another run"):
        Work(table, {"named": groups["named"]}).figures(1, kept)
    assert any(figure > 0 for row in expected for figure in row.values())


def test_the_rules_of_existing_clients_end_every_episode() -> None:
    for task in tasks_of("named", 0)[::7]:
        assert 0 <= score(task, keyword_rules) <= 1


@whole
def test_every_gate_holds() -> None:
    groups = {split: tasks_of(split, 400) for split in ("named", *SPLITS)}
    table = gates()
    for gate, row in zip(table, Work(table, groups).figures(2), strict=True):
        assert all(map(gate.holds, row.values())), (gate.name, row)
