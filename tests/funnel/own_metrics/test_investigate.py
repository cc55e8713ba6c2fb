"""`metric-tracker investigate`: a player's rows, the policy's rows, and how far they agree."""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from starlette.testclient import TestClient

from metric_tracker_rl.own_metrics.investigate import create_table_investigation
from metric_tracker_rl.products.product_file import write_product
from openenv_kit.own_data.cleaned_table import CleanedTable, TableDescription
from openenv_kit.own_data.stage_counts import DayStatus, StageCounts
from openenv_kit.own_data.support import InvestigationRequest
from openenv_kit.page.your_data import local_page
from openenv_kit.page.your_data.local_page import LocalPage
from openenv_kit.serving.settings import current_settings
from openenv_kit.session import Session
from openenv_kit.variables import SERVER_TOKEN_VARIABLE, STORE_VARIABLE
from research.scripted_endpoint import MODEL, ScriptedEndpoint
from support.command_line import run_cli
from support.small_products import build_small_product, simulate_small_table
from support.table_files import write_table

DAY_OF_DROP = 190
SERVER_VARIABLES = (
    *("ENABLE_WEB_INTERFACE", "HOST", "PORT", "WORKERS", "OPENENV_KIT_METRICS_PORT"),
    *("OPENENV_KIT_LOG_LEVEL", "OPENENV_KIT_OWN_DATA", STORE_VARIABLE, SERVER_TOKEN_VARIABLE),
)
"""Variables that the option --play sets."""


@pytest.fixture(autouse=True)
def _read_settings_again() -> Iterator[None]:
    yield
    current_settings.cache_clear()


def simulate_table_with_drop() -> StageCounts:
    """Return the small table with half of the counts on one of the last days."""
    table = simulate_small_table()
    counts = table.counts.copy()
    counts[DAY_OF_DROP] = np.rint(counts[DAY_OF_DROP] * 0.5)
    return replace(table, counts=counts)


def clean(table: StageCounts) -> CleanedTable:
    """Return a table as if it had been read and cleaned."""
    description = TableDescription(format="CSV", shape="wide, one row an hour")
    return CleanedTable(stage_counts=table, actions=(), warnings=(), description=description)


def join_lines(output: str) -> str:
    """Return an output as one line, because lines are wrapped at the width of the terminal."""
    return " ".join(output.split())


def submit_rows(session: Session, rows: Sequence[dict[str, object]]) -> None:
    """Submit a report in a session."""
    reply = session.step({"classifications": list(rows)})
    assert reply.done


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the current folder, which has a table and its product."""
    monkeypatch.chdir(tmp_path)
    write_table(simulate_table_with_drop(), tmp_path / "shop.csv")
    write_product(build_small_product(), tmp_path / "shop.toml")
    return tmp_path


def test_report_is_compared_with_the_rows_of_the_policy() -> None:
    table = simulate_table_with_drop()
    investigation = create_table_investigation(
        clean(table), build_small_product(), InvestigationRequest()
    )
    (expected,) = investigation.episode.expected_rows
    wrong = {**expected.as_dict(), "date": table.get_date(DAY_OF_DROP - 1).isoformat()}
    session, _ = investigation.start_session()
    submit_rows(session, [expected.as_dict(), wrong])
    agreement = investigation.compare_report(session)
    assert [row.date for row in agreement.both] == [expected.date]
    assert [row.date for row in agreement.only_player] == [wrong["date"]]
    assert agreement.only_policy == ()
    assert agreement.score is not None
    assert 0.0 < agreement.score < 1.0


def test_session_without_a_report_has_no_score() -> None:
    investigation = create_table_investigation(
        clean(simulate_table_with_drop()), build_small_product(), InvestigationRequest()
    )
    agreement = investigation.compare_report(investigation.start_session().session)
    assert agreement.score is None
    assert len(agreement.only_policy) == 1


def test_reset_observation_hides_the_number_of_rows() -> None:
    investigation = create_table_investigation(
        clean(simulate_table_with_drop()), build_small_product(), InvestigationRequest()
    )
    reply = investigation.start_session().reset_reply
    assert reply.observation_fields["expected_row_count"] is None


def test_command_prints_the_rows_of_player_and_policy(folder: Path) -> None:
    result = run_cli("investigate", "shop.csv", "--product", "shop.toml", "--policy", "null")
    assert result.exit_code == 0, result.output
    date = simulate_small_table().get_date(DAY_OF_DROP)
    assert f"Only policy {date} visits: absolute_drop_in_event_count" in join_lines(result.stdout)
    assert "reported 0 rows, the reporting policy 1; 0 in common" in join_lines(result.stdout)


def test_rows_are_written_for_the_owner_only(folder: Path) -> None:
    arguments = ("investigate", "shop.csv", "--product", "shop.toml", "--policy", "null")
    assert run_cli(*arguments, "--out", "rows.csv").exit_code == 0
    with (folder / "rows.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert row["found_by"] == "policy"
    assert row["entity_name"] == "visits"
    assert (folder / "rows.csv").stat().st_mode & 0o777 == 0o600
    refused = run_cli(*arguments, "--out", "rows.csv")
    assert refused.exit_code == 2
    assert "rows.csv already exists" in join_lines(refused.stderr)


def test_window_that_is_chosen_is_played(folder: Path) -> None:
    result = run_cli(
        *("investigate", "shop.csv", "--product", "shop.toml", "--policy", "null"),
        *("--start", "2024-02-05", "--weeks", "8"),
    )
    assert "56 days from 2024-02-05 to 2024-03-31" in join_lines(result.stdout)


def test_window_with_a_missing_day_is_refused_with_the_nearest_one(folder: Path) -> None:
    table = simulate_small_table()
    lines = (folder / "shop.csv").read_text().splitlines()
    missing = table.get_date(180).isoformat()
    kept = [line for line in lines if not line.startswith(missing)]
    (folder / "shop.csv").write_text("\n".join(kept) + "\n")
    result = run_cli("investigate", "shop.csv", "--product", "shop.toml", "--policy", "null")
    assert result.exit_code == 2
    assert f"--start {table.get_date(152)}" in join_lines(result.stderr)


def test_policy_and_model_exclude_each_other(folder: Path) -> None:
    result = run_cli(
        *("investigate", "shop.csv", "--product", "shop.toml"),
        *("--policy", "null", "--model", "some"),
    )
    assert result.exit_code == 2
    assert "--policy and --model cannot be used together; pass one." in join_lines(result.stderr)


def test_unknown_policy_is_refused(folder: Path) -> None:
    result = run_cli("investigate", "shop.csv", "--product", "shop.toml", "--policy", "referense")
    assert result.exit_code == 2
    assert "Did you mean 'reference'?" in join_lines(result.stderr)


def test_broken_product_is_refused(folder: Path) -> None:
    (folder / "shop.toml").write_text("format = 7\n")
    result = run_cli("investigate", "shop.csv", "--product", "shop.toml", "--policy", "null")
    assert result.exit_code == 2
    assert "Traceback" not in result.output


def test_model_outside_this_machine_is_named_and_asked_about(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "key")
    monkeypatch.setenv("API_BASE_URL", "https://models.example/v1")
    arguments = ("investigate", "shop.csv", "--product", "shop.toml", "--model", "some")
    refused = run_cli(*arguments)
    assert refused.exit_code == 2
    assert "would be sent to models.example; pass --yes to confirm." in join_lines(refused.stderr)
    module = sys.modules["openenv_kit.cli.investigate"]
    monkeypatch.setattr(module, "is_person_present", lambda: True)
    asked = run_cli(*arguments, input="n\n")
    assert asked.exit_code == 1
    assert "Send numbers of your table to models.example?" in join_lines(asked.output)


def test_outage_is_reported() -> None:
    table = simulate_small_table()
    counts = table.counts.copy()
    counts[DAY_OF_DROP] = 0
    status = [*table.day_status]
    status[DAY_OF_DROP] = DayStatus.OUTAGE
    investigation = create_table_investigation(
        clean(replace(table, counts=counts, day_status=tuple(status))),
        build_small_product(),
        InvestigationRequest(),
    )
    assert "visits" in [row.entity_name for row in investigation.policy_rows]


@pytest.mark.parametrize("profile", ["standard", "lean"])
def test_reference_finds_the_rows_of_the_policy(folder: Path, profile: str) -> None:
    result = run_cli(*("investigate", "shop.csv", "--product", "shop.toml", "--profile", profile))
    assert result.exit_code == 0, result.output
    assert "1 in common; score 1.0000" in join_lines(result.stdout)


def test_model_on_this_machine_plays_without_a_question(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ScriptedEndpoint("null") as endpoint:
        monkeypatch.setenv("API_BASE_URL", endpoint.base_url)
        result = run_cli("investigate", "shop.csv", "--product", "shop.toml", "--model", MODEL)
        assert endpoint.requests > 0
    assert result.exit_code == 0, result.output
    assert f"{MODEL} reported 0 rows, the reporting policy 1" in join_lines(result.stdout)


def test_model_that_cannot_be_reached_is_one_message(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_BASE_URL", "http://127.0.0.1:9/v1")
    monkeypatch.setenv("MODEL_RETRIES", "0")
    result = run_cli("investigate", "shop.csv", "--product", "shop.toml", "--model", MODEL)
    assert result.exit_code == 2
    assert "Traceback" not in result.output
    assert "127.0.0.1:9" in join_lines(result.stderr)


def test_player_sees_the_holidays_of_the_window() -> None:
    table = simulate_table_with_drop()
    date = table.get_date(DAY_OF_DROP)
    with_holiday = replace(table, holidays={date: "Founders' day"})
    request = InvestigationRequest()
    investigation = create_table_investigation(clean(with_holiday), build_small_product(), request)
    session, reset_reply = investigation.start_session()
    assert reset_reply.observation_fields["config"]["calendar"] is True
    reply = session.step({"analysis_method": "list_calendar", "analysis_args": {}})
    (entry,) = reply.observation_fields["analysis_result"]["result"]["events"]
    assert (entry["date"], entry["title"]) == (date.isoformat(), "Founders' day")


def test_window_without_holidays_has_no_calendar() -> None:
    request = InvestigationRequest()
    table = clean(simulate_table_with_drop())
    reset_reply = create_table_investigation(table, build_small_product(), request).start_session()[
        1
    ]
    assert "calendar" not in reset_reply.observation_fields["config"]


@pytest.mark.parametrize("name", ["shop.csv", "shop.toml", "link.csv"])
def test_input_is_never_overwritten(folder: Path, name: str) -> None:
    (folder / "link.csv").symlink_to(folder / "shop.csv")
    before = (folder / name).read_bytes()
    arguments = ("shop.csv", "--product", "shop.toml", "--out", name, "--force")
    result = run_cli("investigate", *arguments)
    assert result.exit_code == 2
    assert f"{name} would overwrite the input shop." in join_lines(result.stderr)
    assert (folder / name).read_bytes() == before


def test_page_offers_the_investigation_only_with_the_token_in_its_address(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served: list[LocalPage] = []
    for name in SERVER_VARIABLES:  # so that their old values are restored
        monkeypatch.setenv(name, os.environ.get(name, ""))
    monkeypatch.setattr(LocalPage, "serve", lambda page: served.append(page))
    monkeypatch.setattr(local_page, "OFFERED_INVESTIGATIONS", {})
    result = run_cli("investigate", "shop.csv", "--product", "shop.toml", "--play")
    assert result.exit_code == 0, result.output
    address = next(line for line in result.stdout.splitlines() if "http://" in line)
    assert address == served[0].address
    assert address.startswith("http://127.0.0.1:")
    (offered,) = local_page.OFFERED_INVESTIGATIONS.values()
    assert offered.title.startswith("shop.csv: 28 days from ")
    with TestClient(served[0].app) as client:
        assert client.get("/web/").status_code == 401
        path = address.removeprefix("http://127.0.0.1:").partition("/")[2]
        assert client.get(f"/{path}", follow_redirects=False).status_code == 303


@pytest.mark.parametrize("option", [("--policy", "reference"), ("--out", "rows.csv")])
def test_play_cannot_be_combined_with_another_player(folder: Path, option: tuple[str, str]) -> None:
    command = ("investigate", "shop.csv", "--product", "shop.toml", "--play", *option)
    finished = run_cli(*command)
    assert "--play cannot be used together" in join_lines(finished.stderr)
