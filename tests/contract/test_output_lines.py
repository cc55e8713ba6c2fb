"""The output of inference.py consists of the lines of the contract."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openenv_kit.agent.stdout import MAX_ACTION_CHARACTERS, EvaluationLog, format_action_field
from support.contract_lines import parse_blocks

ANY_TEXT = st.text(max_size=400)


def printed(lines: io.StringIO) -> str:
    return lines.getvalue()


def test_a_block_is_exactly_the_contracts_lines() -> None:
    out = io.StringIO()
    block = EvaluationLog(out).start_task_log(
        "easy_single_spike", "metric_tracker_rl", "scripted:reference"
    )
    block.write_step_line(format_action_field("list_dates", {}), 0.0, False)
    block.write_step_line(
        format_action_field("submit_solution", {"rows": []}), 0.625, True, "line one\nline two"
    )
    block.write_end_line(True, 0.625)
    assert printed(out) == (
        "[START] task=easy_single_spike env=metric_tracker_rl model=scripted:reference\n"
        "[STEP] step=1 action=list_dates({}) reward=0.01 done=false error=null\n"
        '[STEP] step=2 action=submit_solution({"rows":[]}) reward=0.62 done=true '
        "error=line one line two\n"
        "[END] success=true steps=2 score=0.62 rewards=0.01,0.62\n"
    )


@pytest.mark.slow
@given(
    task=ANY_TEXT,
    model=ANY_TEXT,
    name=ANY_TEXT,
    argument=ANY_TEXT,
    error=st.none() | ANY_TEXT,
    reward=st.floats(0, 1),
)
def test_whatever_a_model_writes_every_block_still_parses(
    task: str, model: str, name: str, argument: str, error: str | None, reward: float
) -> None:
    out = io.StringIO()
    block = EvaluationLog(out).start_task_log(task, "metric_tracker_rl", model)
    block.write_step_line(format_action_field(name, {"x": argument}), reward, False, error)
    block.write_step_line(format_action_field(name, argument), reward, True, error)
    block.write_end_line(False, reward)
    (parsed,) = parse_blocks(printed(out))
    assert len(parsed.steps) == 2


def test_an_end_without_steps_has_no_rewards() -> None:
    out = io.StringIO()
    EvaluationLog(out).start_task_log("t", "e", "m").write_end_line(False, 0.0)
    assert printed(out).endswith("[END] success=false steps=0 score=0.01 rewards=\n")


def test_a_long_action_is_cut_to_220_characters() -> None:
    text = format_action_field("submit_solution", {"rows": ["x" * 1000]})
    assert len(text) == MAX_ACTION_CHARACTERS == 220
    assert text.startswith('submit_solution({"rows":["xxx')


@pytest.mark.parametrize(
    ("epsilon", "low", "high"),
    [(0.0, "0.01", "0.99"), (0.01, "0.01", "0.99"), (0.2, "0.20", "0.80")],
)
def test_scores_are_clamped_and_never_beyond_what_the_contract_allows(
    epsilon: float, low: str, high: str
) -> None:
    lines = EvaluationLog(io.StringIO(), score_epsilon=epsilon)
    assert [lines.format_clamped_score(value) for value in (0.0, 0.5, 1.0)] == [low, "0.50", high]


def test_lines_of_a_live_run_are_written_as_they_happen() -> None:
    out = io.StringIO()
    block = EvaluationLog(out, is_live=True).start_task_log("t", "e", "m")
    assert printed(out).count("\n") == 1
    block.write_step_line("list_dates({})", 0.0, False)
    assert printed(out).count("\n") == 2


def test_blocks_that_run_at_the_same_time_never_interleave() -> None:
    out = io.StringIO()
    lines = EvaluationLog(out, is_live=False)
    first, second = (
        lines.start_task_log("first", "e", "m"),
        lines.start_task_log("second", "e", "m"),
    )
    for _ in range(3):
        first.write_step_line("a({})", 0.0, False)
        second.write_step_line("b({})", 0.0, False)
    second.write_end_line(False, 0.0)
    first.write_end_line(False, 0.0)
    blocks = parse_blocks(printed(out))
    assert [block.task for block in blocks] == ["second", "first"]
    assert {step.action for step in blocks[0].steps} == {"b({})"}


def test_lines_written_at_once_by_two_tasks_would_interleave() -> None:
    out = io.StringIO()
    lines = EvaluationLog(out, is_live=True)
    first, second = (
        lines.start_task_log("first", "e", "m"),
        lines.start_task_log("second", "e", "m"),
    )
    first.write_end_line(False, 0.0)
    second.write_end_line(False, 0.0)
    with pytest.raises(AssertionError, match="a block starts inside another"):
        parse_blocks(printed(out))


def test_a_reader_that_left_ends_no_run() -> None:
    class Closed(io.StringIO):
        def write(self, _: str) -> int:
            raise BrokenPipeError

    lines = EvaluationLog(Closed())
    block = lines.start_task_log("t", "e", "m")
    block.write_end_line(False, 0.0)
    assert lines.is_reader_gone


@pytest.mark.parametrize(
    "text",
    [
        "hello\n",
        "[START] task=a env=b model=c\n",
        "[START] task=a env=b model=c\n[START] task=a env=b model=c\n",
        "[END] success=true steps=0 score=0.01 rewards=\n",
        "[START] task=a env=b model=c\n[END] success=true steps=0 score=1.00 rewards=\n",
        "[START] task=a env=b model=c\n[END] success=true steps=1 score=0.50 rewards=\n",
        "[START] task=a env=b model=c\n[END] success=true steps=0 score=0.50 rewards=",
        "[START] task=a env=b model=c\n"
        "[STEP] step=2 action=f({}) reward=0.01 done=false error=null\n"
        "[END] success=true steps=1 score=0.50 rewards=0.01\n",
        "[START] task=a env=b model=c\n"
        f"[STEP] step=1 action=f({'x' * 250}) reward=0.01 done=false error=null\n"
        "[END] success=true steps=1 score=0.50 rewards=0.01\n",
        "[START] task=a env=b model=c\n"
        "[STEP] step=1 action=f({}) reward=0.01 done=false error=null\n"
        "[END] success=true steps=1 score=0.50 rewards=0.02\n",
    ],
)
def test_the_parser_of_these_tests_refuses_what_is_wrong(text: str) -> None:
    with pytest.raises(AssertionError):
        parse_blocks(text)
