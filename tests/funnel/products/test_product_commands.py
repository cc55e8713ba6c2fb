"""The option `--product` of the commands and of `inference.py`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from metric_tracker_rl.engine.configuration.product_splits import build_product_splits
from metric_tracker_rl.environment import ENVIRONMENT
from metric_tracker_rl.product_audit import build_product_audit
from metric_tracker_rl.products.product_registry import find_product, register_product_file
from openenv_kit.agent.command_line import parse_options
from openenv_kit.agent.episode_plan import plan_episodes
from openenv_kit.agent.main import load_settings_with_options, main
from openenv_kit.errors import ConfigurationError
from openenv_kit.recordings.recorder import RunRecorder
from openenv_kit.reply import observation_from_reply
from openenv_kit.rollouts.run_policy import start_session
from support.command_line import run_cli
from support.products import write_example_product


@pytest.mark.slow
def test_certify_command_certifies_the_levels_of_the_product(
    tmp_path: Path, product_file: Path
) -> None:
    out = tmp_path / "certificates.jsonl"
    options = ("--seeds", 1, "--difficulty", "easy", "--workers", 1, "--out", out)
    ran = run_cli("certify", *options, "--product", product_file)
    assert ran.exit_code == 0, ran.output
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert {line["config"]["product"]["name"] for line in lines} == {"shop"}
    families = {line["config"]["scenario_family"] for line in lines}
    assert families == {*find_product("shop").levels["easy"].families, "mixed"}


@pytest.mark.slow
def test_audit_command_reports_a_product_without_ceilings(
    tmp_path: Path, product_file: Path
) -> None:
    out = tmp_path / "audit.json"
    options = ("--episodes", 2, "--difficulty", "easy", "--workers", 1, "--out", out)
    ran = run_cli("audit", *options, "--setting", "mixed", "--product", product_file)
    assert ran.exit_code == 0, ran.output
    lines = json.loads(out.read_text())["lines"]
    assert all(line["max_mean"] is None and line["max_perfect"] is None for line in lines)
    reference = next(line for line in lines if line["policy"] == "reference")
    assert (reference["mean"], reference["min_mean"]) == (1.0, 1.0)


def test_audit_of_a_product_has_its_families_and_splits(product_file: Path) -> None:
    audit = build_product_audit(register_product_file(product_file))
    assert "funnel_break" in audit.settings
    assert "rate_spike_from_median" not in audit.settings
    assert not any("varied" in setting for setting in audit.settings)
    reset = audit.build_reset_arguments("easy", 0, setting="split:test")
    assert reset["product"] == "shop"


def test_collect_command_plays_the_product(tmp_path: Path, product_file: Path) -> None:
    out = tmp_path / "episodes"
    ran = run_cli("collect", out, "--count", 2, "--split", "test", "--product", product_file)
    assert ran.exit_code == 0, ran.output
    assert "mean score 1.0000" in ran.output
    assert (out / "sft.jsonl").read_text().count("\n") == 2


def test_export_command_writes_rows_of_the_product(tmp_path: Path, product_file: Path) -> None:
    options = ("--split", "test", "--count", 1)
    ran = run_cli("export", tmp_path / "rows", *options, "--product", product_file)
    assert ran.exit_code == 0, ran.output
    row = json.loads((tmp_path / "rows" / "test.jsonl").read_text())
    assert row["reset"] == {"split": "test", "index": 0, "product": "shop"}
    assert row["product_digest"] == find_product("shop").digest
    assert "payments" in (tmp_path / "rows" / "tools.json").read_text()


def test_seal_command_commits_to_the_tasks_of_the_product(
    product_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENENV_KIT_SEALED_SALT", "s" * 32)
    ran = run_cli("seal", "--product", product_file)
    splits = build_product_splits(find_product("shop"))
    assert ran.output.strip() == splits.compute_sealed_commitment()


def test_episode_command_writes_the_stages_of_the_product(
    tmp_path: Path, product_file: Path
) -> None:
    ran = run_cli("episode", tmp_path / "data", "--seed", 3, "--product", product_file)
    assert ran.exit_code == 0, ran.output
    assert "columns visits, carts, orders, payments" in ran.output


@pytest.mark.parametrize("command", ["certify", "audit", "seal", "collect", "export"])
def test_command_refuses_a_product_for_another_environment(
    tmp_path: Path, product_file: Path, command: str
) -> None:
    folder = [tmp_path / "out"] if command in ("collect", "export") else []
    ran = run_cli(command, *folder, "--environment", "firewatch", "--product", product_file)
    assert ran.exit_code == 2
    assert "does not support products" in " ".join(ran.output.replace("│", " ").split())


def test_command_refuses_a_wrong_product_file(tmp_path: Path) -> None:
    path = tmp_path / "old.toml"
    path.write_text('environment = "metric_tracker_rl"\nformat = 0\n')
    ran = run_cli("certify", "--product", path)
    assert ran.exit_code == 2
    assert "import the table again" in " ".join(ran.output.replace("│", " ").split())


def plan(product_file: Path, tasks: str = "", level: str | None = None) -> list[Any]:
    name = register_product_file(product_file).name
    arguments = {"product": name}
    return plan_episodes(ENVIRONMENT, tasks, extra_reset_arguments=arguments, level=level)


def test_plan_with_a_product_plays_the_first_tasks_of_its_first_split(product_file: Path) -> None:
    resets = [planned.reset for planned in plan(product_file)]
    expected = [{"split": "train", "index": index, "product": "shop"} for index in range(3)]
    assert resets == expected


def test_plan_with_a_level_plays_tasks_of_this_level(product_file: Path) -> None:
    planned = plan(product_file, "test:0-4", "hard")
    splits = build_product_splits(find_product("shop"))
    levels = {splits.task("test", each.reset["index"]).level for each in planned}
    assert (len(planned), levels) == (4, {"hard"})


def test_plan_with_a_level_of_the_environment_itself() -> None:
    planned = plan_episodes(ENVIRONMENT, level="medium")
    levels = {ENVIRONMENT.splits.task("train", each.reset["index"]).level for each in planned}
    assert (len(planned), levels) == (3, {"medium"})


def test_plan_with_a_level_refuses_named_tasks() -> None:
    with pytest.raises(ConfigurationError, match="--level was given with the task"):
        plan_episodes(ENVIRONMENT, "easy_single_spike", level="easy")


def test_plan_with_a_product_refuses_named_tasks(product_file: Path) -> None:
    with pytest.raises(ConfigurationError, match="no named task with a product"):
        plan(product_file, "easy_single_spike")


def test_inference_with_a_product_does_not_use_a_server_that_happens_to_run(
    product_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("BASE_URL", "IMAGE_NAME"):
        monkeypatch.delenv(name, raising=False)
    options = parse_options(["--product", str(product_file), "--level", "easy"])
    assert load_settings_with_options(options).embedded
    options = parse_options(["--product", str(product_file), "--base-url", "http://a.example"])
    assert not load_settings_with_options(options).embedded


@pytest.mark.slow
def test_inference_plays_records_and_resumes_a_product(
    tmp_path: Path, product_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    options = ["--product", str(product_file), "--level", "easy", "--policy", "reference"]
    options += ["--tasks", "test:0-1", "--resume", "episodes.jsonl", "--record", "runs"]
    assert main(options) == 0
    results = json.loads(Path("results.json").read_text())
    assert [task["score"] for task in results["tasks"]] == [1.0]
    (recording,) = Path("runs").glob("*.jsonl")
    start = json.loads(recording.read_text().split("\n")[0])
    assert start["product_digest"] == find_product("shop").digest
    assert run_cli("replay", "runs", "--product", product_file).exit_code == 0
    write_example_product(product_file, days=111)
    assert main(options) == 2  # the resumed results are of the earlier product
    assert str(product_file) in os.environ["PRODUCTS"]


@pytest.mark.parametrize("command", ["compare", "signal"])
def test_command_needs_the_product_of_the_results(
    tmp_path: Path, product_file: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = register_product_file(product_file).name
    reset = {"product": name, "split": "test", "index": 0}
    recording = tmp_path / "run.jsonl"
    reply = start_session(ENVIRONMENT, reset).reset_reply
    with recording.open("w") as stream:
        recorder = RunRecorder(stream, "me", reset, observation_from_reply(reply))
        recorder.record_end(0.5)
    monkeypatch.setenv("PRODUCTS", "")
    refused = run_cli(command, recording)
    assert refused.exit_code == 2
    assert "Unknown product 'shop'" in refused.output
    assert run_cli(command, recording, "--product", product_file).exit_code == 0


def test_export_command_refuses_a_product_for_harbor(tmp_path: Path, product_file: Path) -> None:
    options = ("--layout", "harbor", "--product", product_file)
    ran = run_cli("export", tmp_path / "out", *options)
    assert ran.exit_code == 2
    assert "image lacks the product" in " ".join(ran.output.replace("│", " ").split())
