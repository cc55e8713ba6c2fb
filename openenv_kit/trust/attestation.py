"""Signed records of sealed episodes, with which a leaderboard detects omitted episodes.

A replay proves a score, but not that the player submitted every attempt. The server that
serves the sealed split therefore numbers a player's episodes from 1, in the order in which they
start, and signs one record of all of them on request:

    attestation = Attestation(player=…, environment=…, split="sealed", …, plays=[…])
    token = build_signed_attestation_token(attestation, read_signing_key())      # server
    verify_attestation(token, parse_public_key(published_text))     # leaderboard

Design, and what each part prevents:

- **One record of all episodes, not one token per episode.** A gap in the
  consecutive numbers reveals an omitted episode. `Attestation` rejects a list with gaps, so that a
  server cannot sign it.
- **A number is assigned when the episode starts**, and an unfinished episode scores 0. Aborting a
  bad episode does not remove it.
- **The number of episodes is fixed in advance.** The server offers the tasks 0 to `task_count` - 1
  and `plays_per_task` starts of each, and the record states both. An episode that was never started
  also scores 0. Requesting the record before later, worse episodes therefore gains nothing, and
  neither does stopping after a good start.
- **Each entry states reset, steps, score and a digest of the actions**, so that the submitted
  recording is the episode that the server served and not another one with the same score.
- **The record states versions and the commitment to the sealed split**, so that it does not apply
  to other tasks or rules. When a version or the commitment changes, numbers start again at 1.

The signature is Ed25519 (package `cryptography`, which the framework already installs). With an
HMAC, everyone who can verify a record could also forge one. The secret of the sealed split cannot
be the key either, because it is published when the split is retired. Instead, the key is derived
from `OPENENV_KIT_ATTESTATION_KEY`, a secret of the server; the operator publishes the
public key beside the commitment. The leaderboard takes the public key from its own settings, never
from a submission.

The server identifies players by their tokens. A person with two tokens has two records, so an
operator must give each participant only one token.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from openenv_kit.errors import ConfigurationError, InvalidValueError, truncated_repr
from openenv_kit.variables import SIGNING_KEY_VARIABLE

MIN_SECRET_CHARACTERS = 32
"""Minimum length: a shorter secret could be brute-forced with the published public key."""

_KEY_DOMAIN = b"openenv-kit attestation key/1\n"
_SIGNATURE_DOMAIN = b"openenv-kit sealed plays/1\n"


class AttestationError(ConfigurationError):
    """A record of sealed episodes is invalid or was not signed with the expected key."""


class AttestedEpisode(BaseModel):
    """One episode of a sealed task, as recorded by the server.

    Attributes:
        number: running number of the player's sealed episodes, from 1, assigned at the start.
        index: position of the task in the sealed split.
        reset: reset arguments that do not select the task; see `drop_task_selectors`.
        is_finished: whether the episode ended, possibly by reaching its step limit.
        score: score in [0, 1]; 0 if the episode is not finished.
        steps: number of actions that the server executed.
        actions_digest: digest of these actions, computed by `compute_actions_digest`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    number: int = Field(ge=1)
    index: int = Field(ge=0)
    reset: dict[str, Any] = {}
    is_finished: bool
    score: float = Field(ge=0.0, le=1.0, allow_inf_nan=False)
    steps: int = Field(ge=0)
    actions_digest: str = Field(pattern="^[0-9a-f]{64}$")

    @model_validator(mode="after")
    def _require_zero_score_if_unfinished(self) -> Self:
        if not self.is_finished and self.score != 0.0:
            raise ValueError(f"play {self.number} is not finished, so its score must be 0")
        return self


class Attestation(BaseModel):
    """All sealed episodes of one player in one environment, signed by the server.

    Attributes:
        player: the player's name on the server; not the name of a model.
        environment, split, versions: name of the environment, its split and its versions.
        commitment: commitment to the sealed split; see `HashedSplits.compute_sealed_commitment`.
        task_count: number of tasks that the server offers; their indices are 0 to `task_count` - 1.
        plays_per_task: number of times that the server allows each task to be started.
        issued_at_s: Unix time of the signature, in seconds.
        plays: every episode that the player started, in the order of `number`, without gaps.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    player: str = Field(min_length=1, max_length=120)
    environment: str
    split: str
    versions: dict[str, str]
    commitment: str = Field(min_length=1)
    task_count: int = Field(ge=1)
    plays_per_task: int = Field(ge=1)
    issued_at_s: int = Field(ge=0)
    plays: list[AttestedEpisode]

    @model_validator(mode="after")
    def _require_consecutive_episode_numbers(self) -> Self:
        if missing := find_missing_episode_numbers(self.plays):
            raise ValueError(f"plays lack the numbers {', '.join(map(str, missing[:5]))}")
        numbers = [play.number for play in self.plays]
        if numbers != list(range(1, len(numbers) + 1)):
            raise ValueError("plays must be in the order of their numbers, each number once")
        return self

    @model_validator(mode="after")
    def _require_allowed_tasks_and_starts(self) -> Self:
        for index, count in Counter(play.index for play in self.plays).items():
            if index >= self.task_count:
                raise ValueError(f"task {index} is not among the {self.task_count} tasks offered")
            if count > self.plays_per_task:
                raise ValueError(
                    f"task {index} was started {count} times; allowed: {self.plays_per_task}"
                )
        return self

    @property
    def expected_episode_count(self) -> int:
        """Number of episodes that a complete record contains."""
        return self.task_count * self.plays_per_task


def find_missing_episode_numbers(episodes: Iterable[AttestedEpisode]) -> list[int]:
    """Return the numbers below the highest episode number that no episode has."""
    numbers = {play.number for play in episodes}
    return sorted(set(range(1, max(numbers, default=0) + 1)) - numbers)


def count_unstarted_episodes(attestation: Attestation) -> int:
    """Count the offered episodes that the player never started; each scores 0."""
    return attestation.expected_episode_count - len(attestation.plays)


def compute_actions_digest(actions: Iterable[Mapping[str, Any]]) -> str:
    """Return the SHA-256 of a sequence of actions, in hexadecimal.

    The order of the keys in an action does not affect the digest.
    """
    digest = hashlib.sha256()
    for action in actions:
        digest.update(json.dumps(action, sort_keys=True, separators=(",", ":")).encode() + b"\n")
    return digest.hexdigest()


def build_signed_attestation_token(attestation: Attestation, signing_key: Ed25519PrivateKey) -> str:
    """Sign a record and return it as a token: JSON and signature in base64url, joined by a dot."""
    payload = attestation.model_dump_json().encode()
    signature = signing_key.sign(_SIGNATURE_DOMAIN + payload)
    return f"{_encode_base64url(payload)}.{_encode_base64url(signature)}"


def verify_attestation(token: str, public_key: Ed25519PublicKey) -> Attestation:
    """Verify the signature of a token and return its record.

    Raises:
        AttestationError: the token is malformed or was not signed with the matching key.
    """
    payload_text, _, signature_text = token.strip().partition(".")
    try:
        payload, signature = _decode_base64url(payload_text), _decode_base64url(signature_text)
        # The content is parsed only after its signature is verified.
        public_key.verify(signature, _SIGNATURE_DOMAIN + payload)
    except (binascii.Error, ValueError):
        problem = "The record of sealed play is not a token of the form <content>.<signature>."
        raise AttestationError(problem) from None
    except InvalidSignature:
        raise AttestationError(
            "The record of sealed play was not signed with the key "
            f"{format_public_key(public_key)}, or it was changed."
        ) from None
    try:
        return Attestation.model_validate_json(payload)
    except ValidationError as problem:
        reasons = "; ".join(error["msg"] for error in problem.errors())
        raise AttestationError(f"The record of sealed play is invalid: {reasons}.") from None


def has_signing_secret() -> bool:
    """Return whether the secret of the signing key is set."""
    return bool(os.environ.get(SIGNING_KEY_VARIABLE))


def read_signing_key() -> Ed25519PrivateKey:
    """Derive the signing key from the secret in `OPENENV_KIT_ATTESTATION_KEY`.

    Raises:
        InvalidValueError: the secret is missing or too short. The message does not contain it.
    """
    secret = os.environ.get(SIGNING_KEY_VARIABLE, "")
    if len(secret) < MIN_SECRET_CHARACTERS:
        shown_secret = f"<{len(secret)} characters>" if secret else None
        allowed = f"a secret of at least {MIN_SECRET_CHARACTERS} characters"
        raise InvalidValueError(SIGNING_KEY_VARIABLE, shown_secret, allowed)
    seed = hashlib.sha256(_KEY_DOMAIN + secret.encode()).digest()
    return Ed25519PrivateKey.from_private_bytes(seed)


def parse_public_key(text: str) -> Ed25519PublicKey:
    """Parse a public key from the string that `format_public_key` returns.

    Raises:
        AttestationError: the string is not a public key.
    """
    try:
        return Ed25519PublicKey.from_public_bytes(_decode_base64url(text.strip()))
    except (binascii.Error, ValueError):
        raise AttestationError(
            f"The public key is {truncated_repr(text)}; allowed: the 43 characters that "
            "`metric-tracker attestation-key` prints."
        ) from None


def format_public_key(key: Ed25519PublicKey) -> str:
    """Return a public key as 43 characters of base64url."""
    return _encode_base64url(key.public_bytes(Encoding.Raw, PublicFormat.Raw))


def _encode_base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode_base64url(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
