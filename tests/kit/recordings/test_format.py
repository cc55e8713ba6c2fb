"""Recording files: several runs in one file, and invalid files."""

from __future__ import annotations

from pathlib import Path

import pytest

from openenv_kit.recordings.format import RecordingError, read_runs
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
