"""The server says, byte for byte, what the recorded conversation says."""

from __future__ import annotations

import json

import pytest
import wire


@pytest.mark.slow
def test_the_server_answers_every_kind_of_message_as_recorded() -> None:
    recorded = json.loads(wire.GOLDEN.read_text())
    played = json.loads(wire.written(wire.converse(wire.build)))
    for before, now in zip(recorded, played, strict=False):
        assert now == before
    assert len(played) == len(recorded)
    assert wire.GOLDEN.read_text() == wire.written(played)
