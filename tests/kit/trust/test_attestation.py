"""Signed records of sealed episodes."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import ValidationError

from openenv_kit.errors import InvalidValueError
from openenv_kit.trust.attestation import (
    Attestation,
    AttestationError,
    AttestedEpisode,
    build_signed_attestation_token,
    compute_actions_digest,
    count_unstarted_episodes,
    find_missing_episode_numbers,
    format_public_key,
    parse_public_key,
    read_signing_key,
    verify_attestation,
)
from openenv_kit.variables import SIGNING_KEY_VARIABLE

KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
SECRET = "a signing secret of more than thirty-two characters"


def play(number: int, index: int, **fields: Any) -> AttestedEpisode:
    """Build a finished play of score 0.5 unless `fields` say otherwise."""
    values: dict[str, Any] = {
        "number": number,
        "index": index,
        "is_finished": True,
        "score": 0.5,
        "steps": 3,
        "actions_digest": compute_actions_digest([{"tool": "gauge", "n": number}]),
    }
    return AttestedEpisode(**{**values, **fields})


def attestation(*plays: AttestedEpisode, **fields: Any) -> Attestation:
    """Build a record of some plays: two tasks, two plays of each."""
    values: dict[str, Any] = {
        "player": "someone",
        "environment": "pipe_leak",
        "split": "sealed",
        "versions": {"tasks": "1"},
        "commitment": "ab",
        "task_count": 2,
        "plays_per_task": 2,
        "issued_at_s": 1_700_000_000,
        "plays": list(plays),
    }
    return Attestation(**{**values, **fields})


def test_verify_attestation_returns_the_signed_record() -> None:
    unfinished = play(2, 1, is_finished=False, score=0.0, steps=1)
    record = attestation(play(1, 0, reset={"max_steps": 9}), unfinished)
    assert (
        verify_attestation(build_signed_attestation_token(record, KEY), KEY.public_key()) == record
    )
    assert count_unstarted_episodes(record) == 2


@pytest.mark.parametrize(
    ("plays", "expected"),
    [
        ([play(1, 0), play(3, 1)], "plays lack the numbers 2"),
        ([play(2, 0)], "plays lack the numbers 1"),
        ([play(2, 0), play(1, 1)], "in the order of their numbers"),
        ([play(1, 0), play(1, 1)], "each number once"),
        ([play(1, 2)], "task 2 "),
        ([play(1, 0), play(2, 0), play(3, 0)], "task 0 was started 3 times; allowed: 2"),
    ],
)
def test_attestation_with_omitted_or_impossible_plays_is_rejected(
    plays: list[AttestedEpisode], expected: str
) -> None:
    with pytest.raises(ValidationError, match=expected):
        attestation(*plays)


def test_find_missing_numbers_lists_gaps_below_the_highest() -> None:
    assert find_missing_episode_numbers([play(2, 0), play(5, 1)]) == [1, 3, 4]
    assert find_missing_episode_numbers([]) == []


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"is_finished": False}, "play 1 "),
        ({"score": 1.5}, "less than or equal to 1"),
        ({"score": float("nan")}, "finite number"),
        ({"score": True}, "valid number"),
        ({"number": 0}, "greater than or equal to 1"),
        ({"actions_digest": "ab"}, "should match pattern"),
    ],
)
def test_attested_play_with_impossible_values_is_rejected(
    fields: dict[str, Any], expected: str
) -> None:
    with pytest.raises(ValidationError, match=expected):
        play(fields.pop("number", 1), 0, **fields)


def test_verify_attestation_rejects_every_change() -> None:
    token = build_signed_attestation_token(attestation(play(1, 0), play(2, 1, score=0.0)), KEY)
    content, signature = token.split(".")
    record = json.loads(base64.urlsafe_b64decode(content + "=="))
    for change in (
        {"plays": record["plays"][:1]},
        {"plays": [record["plays"][0], {**record["plays"][1], "score": 1.0}]},
        {"player": "another"},
        {"task_count": 1, "plays": record["plays"][:1]},
        {"commitment": "cd"},
    ):
        altered = json.dumps({**record, **change}).encode()
        forged = base64.urlsafe_b64encode(altered).rstrip(b"=").decode()
        with pytest.raises(AttestationError, match="was changed"):
            verify_attestation(f"{forged}.{signature}", KEY.public_key())


def test_verify_attestation_rejects_another_key_and_text_that_is_no_token() -> None:
    token = build_signed_attestation_token(attestation(play(1, 0)), KEY)
    other = Ed25519PrivateKey.generate().public_key()
    with pytest.raises(AttestationError, match=format_public_key(other)):
        verify_attestation(token, other)
    for text in ("", ".", "no token", "ü.ü", token.replace(".", ""), f"{token}!"):
        with pytest.raises(AttestationError, match=r"token|signed"):
            verify_attestation(text, KEY.public_key())


def test_digest_actions_depends_on_order_and_values_but_not_on_the_order_of_names() -> None:
    first, second = {"a": 1, "b": [2.0]}, {"a": 2}
    assert compute_actions_digest([first, second]) == compute_actions_digest(
        [{"b": [2.0], "a": 1}, second]
    )
    assert compute_actions_digest([first, second]) != compute_actions_digest([second, first])
    assert compute_actions_digest([first]) != compute_actions_digest([first, first])
    assert compute_actions_digest([{"a": 1}]) != compute_actions_digest([{"a": 1.0}])


def test_read_signing_key_is_the_same_for_the_same_secret_and_never_shows_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(SIGNING_KEY_VARIABLE, SECRET)
    public = format_public_key(read_signing_key().public_key())
    assert format_public_key(read_signing_key().public_key()) == public
    assert format_public_key(parse_public_key(f" {public}\n")) == public
    monkeypatch.setenv(SIGNING_KEY_VARIABLE, f"{SECRET}!")
    assert format_public_key(read_signing_key().public_key()) != public
    monkeypatch.setenv(SIGNING_KEY_VARIABLE, "short secret")
    with pytest.raises(InvalidValueError, match="<12 characters>'; allowed: a secret of at least"):
        read_signing_key()
    monkeypatch.delenv(SIGNING_KEY_VARIABLE)
    with pytest.raises(InvalidValueError, match="is None"):
        read_signing_key()


def test_read_public_key_of_another_text_names_the_command() -> None:
    for text in ("", "abc", "ü" * 43, "A" * 44):
        with pytest.raises(AttestationError, match="metric-tracker attestation-key"):
            parse_public_key(text)
