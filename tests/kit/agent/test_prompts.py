"""Tool results that a model reads are shortened to a limit."""

from __future__ import annotations

import json
from typing import Any

import pytest

from openenv_kit.agent.prompts import MAX_TOOL_RESULT_CHARACTERS, format_truncated_json


def reply(rows: list[Any]) -> dict[str, Any]:
    return {"status": "analyzed", "result": {"names": ["a"], "rows": rows}}


def test_a_reply_that_fits_is_whole() -> None:
    assert json.loads(format_truncated_json(reply([1, 2]))) == reply([1, 2])


@pytest.mark.parametrize("limit", range(260, 1500, 31))
def test_the_longest_list_is_shortened_to_as_much_as_fits(limit: int) -> None:
    rows = [{"number": number} for number in range(1000)]
    text = format_truncated_json(reply(rows), limit)
    kept = json.loads(text)["result"]["rows"]
    assert kept == rows[: len(kept)]
    assert limit - len(',{"number":100}') - 2 < len(text) <= limit
    said = f"rows: {len(kept)} of 1000 shown"
    assert json.loads(text)["truncated"].startswith(said)
    assert json.loads(text)["truncated"].endswith("Call it again for less at a time.")
    assert json.loads(text)["result"]["names"] == ["a"]


def test_a_reply_without_a_list_to_shorten_is_cut_and_says_so() -> None:
    text = format_truncated_json(reply(["x" * 2 * MAX_TOOL_RESULT_CHARACTERS]))
    assert len(text) == MAX_TOOL_RESULT_CHARACTERS
    assert "Call it again for less at a time." in text
