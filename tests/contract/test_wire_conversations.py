"""Replies equal the recorded ones in keys, types, statuses, rewards and results."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from support.recorded_conversations import FOLDER, PLAYS, converse, pack, read_goldens, unpack
from support.wire_conversation import shape

GOLDENS = read_goldens()
NOWHERE = object()
REPLY: dict[str, Any] = {
    "observation": {
        "status": "analyzed",
        "message": "rows_for_date done.",
        "analysis_result": {"rows": [{"date": "2022-05-13", "app_opens": n} for n in range(4)]},
        "submission_preview": None,
    },
    "reward": 0.0,
    "done": False,
}


def differences(recorded: Any, played: Any, place: str = "") -> Iterator[str]:
    """Where two shapes differ, and how; 1, 1.0 and true are three values."""
    if isinstance(recorded, dict) and isinstance(played, dict):
        for name in sorted(recorded.keys() | played.keys()):
            one, other = recorded.get(name, NOWHERE), played.get(name, NOWHERE)
            yield from differences(one, other, f"{place}/{name}")
    elif isinstance(recorded, list) and isinstance(played, list) and len(recorded) == len(played):
        for at, (one, other) in enumerate(zip(recorded, played, strict=True)):
            yield from differences(one, other, f"{place}/{at}")
    elif type(recorded) is not type(played) or recorded != played:
        one, other = ("nothing" if each is NOWHERE else repr(each) for each in (recorded, played))
        yield f"{place}: recorded {one:.300}, now {other:.300}"


@pytest.mark.slow
@pytest.mark.parametrize("name", PLAYS)
def test_server_replies_equal_the_recorded_conversations(name: str) -> None:
    played = converse(name)
    for before, now in zip(GOLDENS[name], played, strict=False):
        assert list(differences(before[1], now[1])) == [], now[0]
    assert [sent for sent, _ in played] == [sent for sent, _ in GOLDENS[name]]


def test_recorded_conversations_match_the_scripts_and_stay_small() -> None:
    assert GOLDENS.keys() == PLAYS.keys()
    sizes = [each.stat().st_size for each in FOLDER.iterdir()]
    assert max(sizes) <= 40_000
    assert sum(sizes) <= 150_000


@pytest.mark.slow
def test_packed_conversation_unpacks_to_the_same() -> None:
    packed = pack(GOLDENS)
    parts = {name: part for file in packed.values() for name, part in file["parts"].items()}
    for name, file in packed.items():
        assert list(differences(GOLDENS[name], unpack(file["exchanges"], parts))) == []


def test_shape_of_a_message_ignores_wording() -> None:
    better = {**REPLY, "observation": {**REPLY["observation"], "message": "Here are the rows."}}
    assert shape(better) == shape(REPLY)
    assert shape({"text": json.dumps(better)}) == shape({"text": json.dumps(REPLY)})


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"done"', '"over"'),
        ('"reward": 0.0', '"reward": 0.1'),
        ('"reward": 0.0', '"reward": 0'),
        ('"analyzed"', '"error"'),
        (', "submission_preview": null', ""),
        ('"submission_preview": null', '"submission_preview": {}'),
        ('"app_opens": 3', '"app_opens": 4'),
        ('"app_opens": 0', '"app_opens": false'),
        ('{"date": "2022-05-13", "app_opens": 1}, ', ""),
        ('"message": "rows_for_date done."', '"message": ["rows_for_date done."]'),
    ],
)
def test_shape_of_a_message_changes_with_anything_but_wording(old: str, new: str) -> None:
    written = json.dumps(REPLY)
    changed = json.loads(written.replace(old, new))
    assert written != json.dumps(changed)
    assert list(differences(shape(REPLY), shape(changed))) != []
    nested = shape({"text": json.dumps(changed)})
    assert list(differences(shape({"text": written}), nested)) != []
