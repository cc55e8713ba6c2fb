"""`metric-tracker export`: rows, card and rejected options."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from statistics import fmean

import pandas as pd
import pytest
import yaml

from openenv_kit.datasets.export_rows import (
    compute_difficulty,
    compute_result_labels_digest,
    measure_baseline_scores,
)
from openenv_kit.datasets.split_rows import reset_arguments_from_row
from openenv_kit.environment import full_observation_from_reply, get_environment
from openenv_kit.rollouts.run_policy import run_policy
from support.command_line import run_cli
from support.playable_environments import Game

FUNNEL = get_environment("metric_tracker_rl")


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "set"
    asked = ("--split", "test", "--split", "validation", "--first", "1", "--count", "3")
    done = run_cli("export", folder, *asked, "--environment", FUNNEL.name)
    assert done.exit_code == 0, done.output
    assert "3 tasks, mean difficulty" in " ".join(done.output.split())
    return folder


def test_rows_are_read_by_pandas_and_start_their_episodes(exported: Path) -> None:
    frame = pd.read_json(exported / "test.jsonl", lines=True)
    assert list(frame["task"]) == ["test-1", "test-2", "test-3"]
    assert frame["difficulty"].between(0.0, 1.0).all()
    for row in frame.to_dict("records"):
        session = FUNNEL.create_session()
        opening = full_observation_from_reply(
            FUNNEL, session.reset(**row["reset"]), session.task_id
        )
        assert [each["role"] for each in row["prompt"]] == ["system", "user"]
        assert row["prompt"][0]["content"] == FUNNEL.build_system_prompt(opening)
        assert row["prompt"][1]["content"] == FUNNEL.tools.first_user_message(opening)
        assert row["tags"] == [FUNNEL.name, f"level:{row['level']}"]
        assert (
            reset_arguments_from_row(row, FUNNEL.name) == row["reset"]
        )  # as trainers' adapters read it
        text = json.dumps(row)
        config = FUNNEL.splits.task("test", row["index"]).config
        assert str(config.seed) not in text
        assert config.scenario_family not in json.dumps([row["group"], row["tags"]])


def test_dataset_card_names_files_versions_and_baselines(exported: Path) -> None:
    _, front, text = (exported / "README.md").read_text().split("---\n", 2)
    (config,) = yaml.safe_load(front)["configs"]
    assert config["data_files"] == [
        {"split": "test", "path": "test.jsonl"},
        {"split": "validation", "path": "validation.jsonl"},
    ]
    versions = ", ".join(f"{name} {number}" for name, number in FUNNEL.versions.items())
    assert f"`test`: versions {versions}; baselines median_filter, report_all, upstream" in text
    tools = json.loads((exported / "tools.json").read_text())
    assert "submit_solution" in {each["function"]["name"] for each in tools["test"]}


def test_difficulty_is_one_minus_the_mean_score_of_baselines(exported: Path) -> None:
    for line in (exported / "validation.jsonl").read_text().splitlines():
        row = json.loads(line)
        scores = []
        for name in row["panel"]:
            session = FUNNEL.create_session()
            opening = session.reset(**row["reset"])
            scores.append(run_policy(session, FUNNEL.policies[name], opening).score)
        assert scores == list(row["panel"].values())
        assert row["difficulty"] == round(1.0 - fmean(scores), 4)
    assert compute_difficulty({"one": 1.0, "other": 1.0}) == 0.0
    assert compute_difficulty({"one": 0.0, "other": 0.0}) == 1.0


@pytest.mark.slow
def test_exported_rows_contain_the_extra_reset_arguments(tmp_path: Path) -> None:
    chosen = ("--split", "test", "--count", "1", "--level", "easy", "--reset", "reward=exact")
    assert run_cli("export", tmp_path, *chosen).exit_code == 0
    (line,) = (tmp_path / "test.jsonl").read_text().splitlines()
    assert json.loads(line)["reset"]["reward"] == "exact"


@pytest.mark.slow
def test_export_of_reset_that_baselines_cannot_play_is_rejected(tmp_path: Path) -> None:
    found = run_cli(
        "export", tmp_path, "--split", "test", "--count", "1", "--reset", "profile=lean"
    )
    assert found.exit_code == 2
    assert "cannot play with this --reset" in " ".join(found.output.replace("│", " ").split())


def test_episodes_of_one_configuration_are_of_one_group() -> None:
    groups: dict[str, set[str]] = {}
    for index in range(60):
        reset = {"split": "test", "index": index}
        groups.setdefault(compute_result_labels_digest(FUNNEL, reset), set()).add(
            str(FUNNEL.build_result_labels(reset))
        )
    assert all(len(each) == 1 for each in groups.values())
    assert len(groups) == len(set.union(*groups.values())) > 10
    assert max(len(name) for name in groups) == 12


@pytest.mark.slow
def test_every_environment_has_baselines(game: Game) -> None:
    environment = game.environment
    split = environment.splits.list_playable_split_names()[0]
    scores = measure_baseline_scores(environment, {"split": split, "index": 0})
    assert len(scores) >= 1
    assert all(0.0 <= each <= 1.0 for each in scores.values())


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (("--split", "tset"), "Did you mean 'test'"),
        (("--split", "sealed"), "sealed"),
        (("--split", "test", "--first", "99999"), "first is 99999; allowed"),
    ],
)
def test_export_with_wrong_split_or_range_is_rejected(
    tmp_path: Path, asked: tuple[str, ...], expected: str
) -> None:
    done = run_cli("export", tmp_path / "set", *asked, "--environment", FUNNEL.name)
    assert done.exit_code == 2
    assert expected in " ".join(done.output.replace("│", " ").split())
    assert not list((tmp_path / "set").glob("*"))


@pytest.mark.slow
@pytest.mark.skipif(not find_spec("datasets"), reason="datasets, of the `trl` extra, is missing")
def test_the_folder_is_loaded_by_its_card(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    from datasets import load_dataset

    found = load_dataset(str(exported), cache_dir=str(tmp_path))
    assert set(found) == {"test", "validation"}
    assert found["test"][0]["reset"] == {"split": "test", "index": 1}
    assert found["validation"]["difficulty"]
