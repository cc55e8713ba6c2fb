"""Episodes and tool results as frames and files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from benchmarks.engine import _method_arguments
from metric_tracker_rl import result_frame
from metric_tracker_rl.analysis_tools import TOOLS
from metric_tracker_rl.engine.definitions.report_row import ROW_FIELDS
from metric_tracker_rl.engine.session.episode_session import EpisodeSession
from metric_tracker_rl.policies.base import build_analysis_action
from openenv_kit.cli.common import is_package_installed
from openenv_kit.errors import InvalidValueError, UnknownNameError
from support.command_line import run_cli

STAGES = ["app_opens", "menu_opens", "product_added_to_cart", "orders_placed", "payment_successful"]


def analysis_result(method: str, **arguments: Any) -> dict[str, Any]:
    session = EpisodeSession()
    session.reset(task_id="easy_single_spike")
    reply = session.step(build_analysis_action(method, **arguments))
    assert reply.status == "analyzed", reply.message
    found: dict[str, Any] = reply.observation_fields["analysis_result"]
    return found


@pytest.mark.parametrize("name", list(TOOLS))
def test_the_result_of_every_method_is_a_frame(name: str) -> None:
    result = analysis_result(name, **_method_arguments()[name])
    frame = result_frame(result)
    assert isinstance(frame, pd.DataFrame)
    assert frame.equals(result_frame(result["result"]))
    assert not any(frame.map(lambda cell: isinstance(cell, dict)).to_numpy().ravel())


def test_generated_rows_can_be_submitted_from_their_frame_and_keep_their_columns() -> None:
    session = EpisodeSession()
    session.reset(task_id="easy_single_spike")
    reply = session.step(
        build_analysis_action("get_rate_spike_from_median_rows", threshold_multiplier=2.0)
    )
    frame = result_frame(reply.observation_fields["analysis_result"])
    assert not frame.empty
    end = session.step({"classifications": frame.to_dict("records")})
    assert end.observation_fields["reward_breakdown"].invalid_rows == 0
    empty = result_frame(analysis_result("get_funnel_break_rows", threshold_multiplier=50.0))
    assert (len(empty), tuple(empty.columns)) == (0, tuple(ROW_FIELDS))


def test_matches_within_an_entry_are_rows_beside_its_name() -> None:
    result = analysis_result("get_rows_with_abs_diff_from_median_gt", threshold=1000.0)
    frame = result_frame(result)
    counts = {each["metric_name"]: each["match_count"] for each in result["result"]["results"]}
    assert frame["metric_name"].value_counts().to_dict() == {k: n for k, n in counts.items() if n}
    assert {"date", "value"} <= set(frame.columns)


def test_result_frame_of_wrong_table_or_missing_result_is_an_error() -> None:
    result = analysis_result("get_funnel_break_rows", threshold_multiplier=2.0)
    with pytest.raises(UnknownNameError, match="Did you mean 'details'"):
        result_frame(result, "detail")
    with pytest.raises(InvalidValueError, match="analysis_result"):
        result_frame(None)  # type: ignore[arg-type]


def test_the_command_writes_both_frames_and_no_label(tmp_path: Path) -> None:
    out = tmp_path / "new"
    assert run_cli("episode", out, "--task", "hard_mixed_multi").exit_code == 0
    session = EpisodeSession()
    session.reset(task_id="hard_mixed_multi")
    assert session.episode is not None
    daily = pd.read_csv(out / "hard_mixed_multi-daily.csv", index_col="date")
    hourly = pd.read_csv(out / "hard_mixed_multi-hourly.csv", index_col=["date", "hour"])
    assert daily.astype("int64").equals(session.episode.daily)
    assert hourly.groupby("date").sum().equals(daily)
    assert list(daily.columns) == list(hourly.columns) == STAGES
    assert {path.name for path in out.iterdir()} == {
        "hard_mixed_multi-daily.csv",
        "hard_mixed_multi-hourly.csv",
    }


def test_episode_files_are_named_by_seed_and_level_and_never_overwritten(tmp_path: Path) -> None:
    chosen = (tmp_path, "--seed", 5, "--difficulty", "expert")
    assert run_cli("episode", *chosen).exit_code == 0
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    assert {path.name for path in before} == {
        "custom-expert-5-daily.csv",
        "custom-expert-5-hourly.csv",
    }
    again = run_cli("episode", *chosen)
    assert again.exit_code == 2
    assert "exists" in again.output
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (("--task", "easy_spike"), "easy_single_spike"),
        (("--split", "tset", "--index", 0), "Did you mean"),
        (("--split", "test", "--index", 99999), "2303"),
        (("--split", "test", "--seed", 4), "with split and index: only"),
        (("--split", "sealed", "--index", 0), "sealed split 'sealed'"),
        (("--to", "xls"), "parquet"),
    ],
)
def test_episode_command_with_wrong_option_writes_nothing(
    tmp_path: Path, options: tuple[object, ...], word: str
) -> None:
    refused = run_cli("episode", tmp_path / "new", *options)
    assert refused.exit_code == 2
    assert word in " ".join(refused.output.replace("│", " ").split())
    assert not (tmp_path / "new").exists()


def test_parquet_output_is_written_or_names_the_missing_package(tmp_path: Path) -> None:
    done = run_cli("episode", tmp_path / "new", "--to", "parquet")
    if is_package_installed("pyarrow") or is_package_installed("fastparquet"):
        daily = pd.read_parquet(tmp_path / "new" / "easy_single_spike-daily.parquet")
        assert list(daily.columns) == STAGES
    else:
        assert done.exit_code == 2
        assert "uv pip install pyarrow" in " ".join(done.output.replace("│", " ").split())


def test_the_commands_of_an_environment_follow_those_of_the_kit() -> None:
    help_text = run_cli("--help").output
    assert help_text.index("certify") < help_text.index("episode")
    unknown = run_cli("episodes")
    assert unknown.exit_code == 2
    assert "episodes" in unknown.output
    wrong = run_cli("audit", "--environment", "metric_traker_rl")
    assert wrong.exit_code == 2
    assert "metric_tracker_rl" in wrong.output
