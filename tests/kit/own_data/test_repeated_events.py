"""Repeated events are counted or left out, and an id column must identify the rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from kit.own_data.tables import (
    STAGES,
    event_lines,
    funnel_counts,
    load,
    refusal_message,
    write_lines,
)


def user_lines(days: int = 84) -> list[str]:
    """Header and rows of an event log in which the events of a user have one user id."""
    header, *rows = event_lines(funnel_counts(days, hours=24, visits=4))
    users = [f"u{row.rpartition(',')[2][1:]}" for row in rows]
    return [f"{header},user_id", *(f"{row},{user}" for row, user in zip(rows, users, strict=True))]


def test_id_column_of_users_is_refused(tmp_path: Path) -> None:
    lines = user_lines()
    message = refusal_message(write_lines(tmp_path / "log.csv", lines), id_column="user_id")
    users = len({line.rpartition(",")[2] for line in lines[1:]})
    events = len(lines) - 1
    assert message == (
        "--id-column user_id: rows with one id differ in their event, and "
        f"{events - users:,} of {events:,} rows would be left out; pass the column that "
        "identifies an event."
    )


def test_id_column_of_repeated_events_at_other_times_is_refused(tmp_path: Path) -> None:
    header, *rows = event_lines(funnel_counts(84, hours=24, visits=4))
    sessions = [f"{row},{row.split(',')[1]}{number // 2}" for number, row in enumerate(rows)]
    path = write_lines(tmp_path / "log.csv", [f"{header},session", *sessions])
    assert "rows with one id differ in their time or counts" in refusal_message(
        path, id_column="session"
    )


def test_few_shared_ids_are_accepted(tmp_path: Path) -> None:
    header, *rows = user_lines()
    other = f"2024-01-02 03:04:05,{STAGES[1]},v7,u7"
    table = load(write_lines(tmp_path / "log.csv", [header, *rows, other]), id_column="insert_id")
    assert table.actions == ("1 row with a repeated id left out",)


@pytest.mark.parametrize(
    ("repeated", "start"), [(1, "1 repeated row was"), (3, "3 repeated rows were")]
)
def test_repeated_rows_without_id_column_are_a_note(
    tmp_path: Path, repeated: int, start: str
) -> None:
    header, *rows = user_lines()
    path = write_lines(tmp_path / "log.csv", [header, *rows, *rows[:repeated]])
    pronoun = "it" if repeated == 1 else "them"
    note = f"{start} counted; pass --id-column insert_id to leave {pronoun} out."
    assert note in load(path).description.notes
    assert note not in load(path, id_column="insert_id").description.notes


def test_log_without_repeated_rows_has_no_note(tmp_path: Path) -> None:
    notes = load(write_lines(tmp_path / "log.csv", user_lines())).description.notes
    assert not any("repeated" in note for note in notes)
