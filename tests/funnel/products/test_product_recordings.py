"""Recordings of a product's episodes, their replay, and the refusal to submit them."""

from __future__ import annotations

import io
import json
import stat
from pathlib import Path
from typing import Any

import pytest

from metric_tracker_rl.environment import ENVIRONMENT
from metric_tracker_rl.products.product_registry import find_product, register_product_file
from openenv_kit.recordings.digest import compute_reply_digest
from openenv_kit.recordings.format import RecordedRun, RecordingError, parse_runs_until_error
from openenv_kit.recordings.recorder import RunRecorder
from openenv_kit.recordings.replay import replay_and_compare_run
from openenv_kit.reply import observation_from_reply
from openenv_kit.results.create_submission import build_submission_card
from openenv_kit.results.submission_folder import SubmissionError, validate_submission_card
from openenv_kit.results.submissions import Submission, SubmissionCard, find_submission_problems
from openenv_kit.rollouts.run_policy import iter_policy_steps, start_session
from support.command_line import run_cli
from support.products import build_level_mapping, build_product_mapping, write_example_product

INLINE = {**build_product_mapping(), "level": build_level_mapping()}


def record_reference(product: Any) -> str:
    """Play a task of a product with the reference policy and return the recording."""
    reset = {"product": product, "split": "test", "index": 0}
    stream = io.StringIO()
    session, reset_reply = start_session(ENVIRONMENT, reset)
    recorder = RunRecorder(stream, "scripted:reference", reset, observation_from_reply(reset_reply))
    reply = reset_reply
    for action, reply in iter_policy_steps(session, ENVIRONMENT.policies["reference"], reset_reply):
        recorder.record_step(action, observation_from_reply(reply))
    recorder.record_end(reply.reward, observation_from_reply(reply))
    return stream.getvalue()


def read_run(text: str) -> RecordedRun:
    runs, error = parse_runs_until_error(text)
    assert error is None
    return runs[0]


@pytest.mark.parametrize("is_inline", [False, True], ids=["name", "inline"])
def test_recording_contains_name_and_digest_and_not_the_product(
    product_file: Path, is_inline: bool
) -> None:
    product = register_product_file(product_file)
    start = json.loads(record_reference(INLINE if is_inline else "shop").split("\n")[0])
    assert (start["product"], start["product_digest"]) == ("shop", product.digest)
    assert start["reset"] == {"product": "shop", "split": "test", "index": 0}


def test_recording_without_a_product_has_no_further_field() -> None:
    reply = start_session(ENVIRONMENT, {"seed": 3}).reset_reply
    stream = io.StringIO()
    RunRecorder(stream, "x", {"seed": 3}, observation_from_reply(reply))
    fields = {"event", "format", "player", "environment", "reset", "versions", "digest"}
    assert set(json.loads(stream.getvalue())) == fields


def test_replay_with_the_product_matches(product_file: Path) -> None:
    register_product_file(product_file)
    result = replay_and_compare_run(read_run(record_reference("shop")))
    assert (result.matches_recording, result.score) == (True, 1.0)


def test_replay_without_the_product_names_what_is_missing(
    product_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register_product_file(product_file)
    run = read_run(record_reference("shop"))
    monkeypatch.setenv("PRODUCTS", "")
    with pytest.raises(RecordingError, match=r"'shop' with the digest \w{64}.*--product"):
        replay_and_compare_run(run)


def test_replay_with_another_product_prints_both_digests(tmp_path: Path) -> None:
    path = tmp_path / "shop.toml"
    first = register_product_file(write_example_product(path))
    run = read_run(record_reference("shop"))
    second = register_product_file(write_example_product(path, days=111))
    with pytest.raises(RecordingError, match=f"{first.digest}.*{second.digest}"):
        replay_and_compare_run(run)


def test_replay_command_needs_the_product_file(
    tmp_path: Path, product_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register_product_file(product_file)
    recording = tmp_path / "run.jsonl"
    recording.write_text(record_reference("shop"))
    monkeypatch.setenv("PRODUCTS", "")
    refused = run_cli("replay", recording)
    assert refused.exit_code == 2
    assert "--product" in refused.output
    assert run_cli("replay", recording, "--product", product_file).exit_code == 0


def test_atif_command_needs_the_product_file(
    tmp_path: Path, product_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register_product_file(product_file)
    recording = tmp_path / "run.jsonl"
    recording.write_text(record_reference("shop"))
    monkeypatch.setenv("PRODUCTS", "")
    out = tmp_path / "atif"
    assert run_cli("atif", recording, "--out", out).exit_code == 2
    assert run_cli("atif", recording, "--out", out, "--product", product_file).exit_code == 0


def test_submission_of_a_product_is_refused(product_file: Path) -> None:
    register_product_file(product_file)
    runs = [read_run(record_reference("shop"))]
    with pytest.raises(SubmissionError, match="own products are not on the public board"):
        build_submission_card(runs, ENVIRONMENT, by="me", notes="", commitment="")


def test_card_with_a_product_is_refused() -> None:
    with pytest.raises(SubmissionError, match="own products are not on the public board"):
        validate_submission_card(build_card_fields(reset={"product": "shop"}))


def test_submitted_run_of_a_product_is_refused_although_the_card_has_none(
    product_file: Path,
) -> None:
    register_product_file(product_file)
    run = read_run(record_reference("shop"))
    card = SubmissionCard.model_validate(build_card_fields())
    (problem,) = find_submission_problems(Submission("me", card, [run]), min_tasks=1)
    assert "own products are not on the public board" in problem


def build_card_fields(**changes: Any) -> dict[str, Any]:
    return {
        "player": "scripted:reference",
        "environment": "metric_tracker_rl",
        "split": "test",
        "count": 1,
        "versions": dict(ENVIRONMENT.versions),
        **changes,
    }


def test_recorded_product_is_known_by_its_digest(product_file: Path) -> None:
    register_product_file(product_file)
    product = read_run(record_reference("shop")).product
    assert product is not None
    assert product.digest == find_product("shop").digest


@pytest.fixture
def private_recording(tmp_path: Path) -> Path:
    """Return the path of a recording of a table's episode."""
    reply = start_session(ENVIRONMENT, {"seed": 3}).reset_reply
    path = tmp_path / "private.jsonl"
    with path.open("w") as stream:
        reset = {"table": "own", "split": "test", "index": 0}
        recorder = RunRecorder(stream, "me", reset, observation_from_reply(reply))
        recorder.record_step({"x": 1}, observation_from_reply(reply))
        recorder.record_end(0.0)
    return path


def test_recording_of_a_table_is_private_and_only_the_user_may_read_it(
    private_recording: Path,
) -> None:
    assert stat.S_IMODE(private_recording.stat().st_mode) == 0o600
    assert read_run(private_recording.read_text()).is_private


def test_digests_of_a_table_are_keyed(private_recording: Path) -> None:
    reply = start_session(ENVIRONMENT, {"seed": 3}).reset_reply
    plain = compute_reply_digest(observation_from_reply(reply), ENVIRONMENT.tools.prose_fields)
    run = read_run(private_recording.read_text())
    assert plain not in (run.digest, run.steps[0].digest)


@pytest.mark.parametrize("command", ["replay", "atif"])
def test_commands_refuse_a_recording_of_a_table(
    tmp_path: Path, private_recording: Path, command: str
) -> None:
    options = ("--out", tmp_path / "out") if command == "atif" else ()
    ran = run_cli(command, private_recording, *options)
    assert ran.exit_code == 2
    assert "The recording is private" in ran.output


def test_submission_of_a_table_is_refused(private_recording: Path) -> None:
    runs = [read_run(private_recording.read_text())]
    with pytest.raises(SubmissionError, match="own products are not on the public board"):
        build_submission_card(runs, ENVIRONMENT, by="me", notes="", commitment="")
