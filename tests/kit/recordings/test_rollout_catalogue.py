"""The list of rollouts in folders: identifiers, unreadable lines, private and growing files."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path

import pytest

from openenv_kit.environment import get_environment
from openenv_kit.recordings.format import read_runs
from openenv_kit.recordings.replay import replay_and_compare_run
from openenv_kit.recordings.rollout_catalogue import (
    RolloutCatalogue,
    packaged_recordings_folder,
)
from openenv_kit.recordings.rollout_lines import compute_rollout_id, iter_step_messages
from support.recorded_runs import record_runs

EASY, HARD = {"task_id": "easy_single_spike"}, {"split": "test", "index": 4}


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    path = tmp_path / "runs.jsonl"
    record_runs(path, "reference", [EASY, HARD])
    return path


def catalogue_of(folder: Path) -> RolloutCatalogue:
    return RolloutCatalogue([folder], "metric_tracker_rl")


def test_catalogue_lists_rollouts_with_the_figures_of_their_start_and_end(recorded: Path) -> None:
    first, second = catalogue_of(recorded.parent).list_rollouts().rollouts
    assert (first.player, first.task, first.level) == ("reference", "easy_single_spike", "easy")
    assert (first.score, first.errors, first.tokens, first.outcome) == (1.0, 0, None, "completed")
    assert (second.task, second.source) == ("test-4", "runs.jsonl")
    assert first.steps > 0
    assert first.episode != second.episode


def test_rollout_id_is_the_start_of_the_digest_of_its_lines(recorded: Path) -> None:
    lines = recorded.read_bytes().splitlines(keepends=True)
    second_start = [n for n, line in enumerate(lines) if b'"event":"start"' in line][1]
    expected = hashlib.sha256(b"".join(lines[second_start:])).hexdigest()[:16]
    assert catalogue_of(recorded.parent).list_rollouts().rollouts[1].id == expected


@pytest.mark.parametrize("suffix", ["moved.jsonl", "deeper/moved.jsonl", "moved.jsonl.gz"])
def test_rollout_id_does_not_change_when_a_file_is_moved(recorded: Path, suffix: str) -> None:
    ids = [each.id for each in catalogue_of(recorded.parent).list_rollouts().rollouts]
    target = recorded.parent / suffix
    target.parent.mkdir(exist_ok=True)
    content = recorded.read_bytes().replace(b"\n", b"  \r\n\r\n")
    target.write_bytes(gzip.compress(content) if suffix.endswith("gz") else content)
    recorded.unlink()
    assert [each.id for each in catalogue_of(recorded.parent).list_rollouts().rollouts] == ids


def test_rollout_is_read_by_its_id(recorded: Path) -> None:
    catalogue = catalogue_of(recorded.parent)
    for summary in catalogue.list_rollouts().rollouts:
        lines = catalogue.read_rollout(summary.id)
        assert lines is not None
        assert compute_rollout_id(lines.splitlines()) == summary.id
    assert catalogue.read_rollout("0" * 16) is None


def test_growing_file_adds_rollouts_and_completes_the_last_one(recorded: Path) -> None:
    content = recorded.read_bytes()
    half = content.rindex(b"\n", 0, len(content) - 2) + 1
    recorded.write_bytes(content[:half])
    catalogue = catalogue_of(recorded.parent)
    assert [each.outcome for each in catalogue.list_rollouts().rollouts] == ["completed", "running"]
    with recorded.open("ab") as file:
        file.write(content[half:] + content)
    outcomes = [each.outcome for each in catalogue.list_rollouts().rollouts]
    assert outcomes == ["completed", "completed"]  # copies have the same id
    assert catalogue.list_rollouts() == catalogue_of(recorded.parent).list_rollouts()


def test_unreadable_line_is_named_and_the_rest_is_listed(recorded: Path) -> None:
    lines = recorded.read_text().splitlines()
    recorded.write_text("\n".join(["nonsense", lines[0], "{broken", *lines[1:]]))
    found = catalogue_of(recorded.parent).list_rollouts()
    assert len(found.rollouts) == 2
    assert found.problems == [
        "runs.jsonl, line 1: it is not a JSON object.",
        "runs.jsonl, line 3: it is not a JSON object.",
    ]


def test_file_that_is_no_recording_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "other.jsonl").write_text('{"event": "stop"}\n{"event": "start"}\n')
    (tmp_path / "bad.jsonl.gz").write_bytes(b"not gzip")
    found = catalogue_of(tmp_path).list_rollouts()
    assert found.rollouts == []
    assert found.problems == [
        "bad.jsonl.gz cannot be read.",
        "other.jsonl, line 1: it is not a line of a recording.",
        "other.jsonl, line 2: its reset is missing.",
    ]


def test_missing_folder_is_a_problem(tmp_path: Path) -> None:
    assert catalogue_of(tmp_path / "none").list_rollouts().problems == [
        "The folder none does not exist."
    ]


def test_private_rollout_is_counted_and_neither_listed_nor_read(recorded: Path) -> None:
    catalogue = catalogue_of(recorded.parent)
    first = catalogue.list_rollouts().rollouts[0]
    lines = recorded.read_text().splitlines()
    lines[0] = json.dumps(json.loads(lines[0]) | {"private": True})
    recorded.write_text("\n".join(lines))
    found = catalogue.list_rollouts()
    assert (len(found.rollouts), found.private_count) == (1, 1)
    private_id = compute_rollout_id([line.encode() for line in lines[: first.steps + 2]])
    assert catalogue.read_rollout(private_id) is None


def test_older_rollout_lacks_the_figures_that_were_not_recorded(tmp_path: Path) -> None:
    start = {"event": "start", "player": "old", "reset": {"seed": 7}, "versions": {}}
    end = {"event": "end", "score": 0.5}
    text = "".join(json.dumps(event) + "\n" for event in (start, end))
    (tmp_path / "old.jsonl").write_text(text)
    (old,) = catalogue_of(tmp_path).list_rollouts().rollouts
    assert (old.task, old.score) == ("seed 7", 0.5)
    assert (old.environment, old.errors, old.tokens, old.outcome) == ("", None, None, "")


@pytest.mark.parametrize("name", ["metric_tracker_rl", "drilldown", "firewatch"])
def test_packaged_rollouts_replay_and_include_a_failing_player(name: str) -> None:
    environment = get_environment(name)
    folder = packaged_recordings_folder(environment)
    runs = [run for path in folder.glob("*.jsonl") for run in read_runs(path)]
    assert all(replay_and_compare_run(run, environment).matches_recording for run in runs), (
        "record them again: python -m research.example_rollouts"
    )
    scores_by_player = {run.player: run.score for run in runs}
    assert scores_by_player["reference"] == 1.0
    assert min(run.score or 0.0 for run in runs) < 0.5


def test_step_messages_skip_values_that_are_no_messages() -> None:
    lines = [
        b'{"event":"start"}',
        b'{"event":"step","messages":[{"role":"user"},"text"]}',
        b"nonsense",
        b'{"event":"end"}',
    ]
    assert list(iter_step_messages(lines)) == [[{"role": "user"}], []]
