"""Recording files: several runs in one file, and invalid files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from openenv_kit.environment import get_environment
from openenv_kit.recordings.format import RecordingError, read_runs
from openenv_kit.recordings.recorder import RunRecorder
from openenv_kit.reply import observation_from_reply
from support.recorded_runs import record_runs


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    path = tmp_path / "run.jsonl"
    assert record_runs(path, "reference", [{"task_id": "medium_mixed_pair"}]) == [1.0]
    return path


def test_several_runs_share_a_file(recorded: Path) -> None:
    record_runs(recorded, "null", [{"seed": 4}])
    assert [run.player for run in read_runs(recorded)] == ["reference", "null"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nonsense", "line 1: not JSON."),
        ("[]", "line 1: not a JSON object."),
        ('{"event": "step"}', "line 1: not a line of a recorded run."),
        ('{"event": "stop"}', "line 1: unknown event 'stop'."),
        ('{"event": "start", "format": "other/1"}', "line 1: format 'other/1'; allowed: "),
    ],
)
def test_a_file_that_is_no_recording_names_its_line(
    tmp_path: Path, text: str, expected: str
) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text(text + "\n")
    with pytest.raises(RecordingError, match=expected.replace(".", r"\.")):
        read_runs(path)


def test_start_and_end_lines_contain_environment_errors_and_outcome(recorded: Path) -> None:
    run = read_runs(recorded)[0]
    assert run.environment == "metric_tracker_rl"
    assert (run.error_count, run.token_count, run.outcome) == (0, None, "completed")
    assert run.has_end


def test_run_that_stops_without_a_report_has_that_outcome(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    with path.open("w") as stream:
        session = get_environment("metric_tracker_rl").create_session()
        reset = {"task_id": "easy_single_spike"}
        reset_observation = observation_from_reply(session.reset(**reset))
        recorder = RunRecorder(stream, "model", reset, reset_observation)
        action = {"analysis_method": "rows_for_date", "analysis_args": {"date": "no date"}}
        usage = {"prompt_tokens": 100, "completion_tokens": 11}
        recorder.record_step(
            action,
            observation_from_reply(session.step(action)),
            messages=[{"role": "assistant", "content": "", "usage": usage}],
        )
        recorder.count_rejected_call()
        recorder.record_end(0.0, error="No report was submitted.")
    run = read_runs(path)[0]
    assert (run.error_count, run.token_count, run.outcome) == (2, 111, "no report")
    assert run.error == "No report was submitted."


def test_failed_run_has_no_score_and_the_outcome_failed(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    with path.open("w") as stream:
        RunRecorder(stream, "model", {"seed": 1}, {"status": "ready"}).record_end(None, error="x")
    assert (read_runs(path)[0].score, read_runs(path)[0].outcome) == (None, "failed")


def test_recording_without_the_newer_fields_is_read(recorded: Path) -> None:
    newer_fields = ("environment", "errors", "tokens", "outcome")
    events = [json.loads(line) for line in recorded.read_text().splitlines()]
    older = [{k: v for k, v in event.items() if k not in newer_fields} for event in events]
    recorded.write_text("".join(json.dumps(event) + "\n" for event in older))
    run = read_runs(recorded)[0]
    assert (run.environment, run.error_count, run.outcome) == ("", None, "")
    assert run.score == 1.0
