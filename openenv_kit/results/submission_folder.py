"""Reads and writes a submission: its card, its recorded runs and the server's signed record.

```
submissions/some-model/card.yaml
submissions/some-model/runs.jsonl.gz
submissions/some-model/attestation.txt   only for a sealed split whose server signed a record
```
"""

from __future__ import annotations

import gzip
import json
import zlib
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from openenv_kit.errors import ConfigurationError, KitError, truncated_repr
from openenv_kit.recordings.format import RecordedRun, read_runs
from openenv_kit.reset_arguments import EPISODE_SELECTORS, PRODUCT
from openenv_kit.trust.attestation import Attestation

CARD_FILENAME = "card.yaml"
RUNS_FILENAME = "runs.jsonl.gz"
ATTESTATION_FILENAME = "attestation.txt"
SCRIPTED_PREFIX = "scripted:"
"""Prefix of the player's name if the player is a policy of the environment."""
OWN_PRODUCTS_REFUSED = "own products are not on the public board"
"""Reason why episodes of a user's own table cannot be submitted: nobody else could replay them."""
MAX_CARD_BYTES = 1 << 16
MAX_RUNS_BYTES = 1 << 28
"""Maximum uncompressed size of the recordings; about a million steps."""
MAX_ATTESTATION_BYTES = 1 << 24


class SubmissionError(ConfigurationError):
    """A folder is not a valid submission, or a submission cannot be created from recordings."""


class EvidenceLabel(StrEnum):
    """Whether a submission is confirmed by a record that the server of the sealed split signed."""

    ATTESTED = "attested"
    SELF_REPORTED = "self-reported"


class BoardKey(NamedTuple):
    """Key of a leaderboard; submissions with the same key have comparable scores."""

    environment: str
    split: str
    first_task: int
    task_count: int
    reset_json: str


class SubmissionCard(BaseModel):
    """Description of a submission: its player, its tasks and who submitted it.

    Attributes:
        player: name of the player in the recordings; `scripted:NAME` is a policy of the
            environment.
        environment: name of the environment.
        split: name of the split that was played.
        first: index of the first task.
        count: number of tasks, from `first` on.
        tries: rollouts of each task.
        reset: extra arguments of every reset.
        versions: versions of the environment that was played.
        commitment: published commitment to the sealed split; empty for other splits.
        by: person or group that submits.
        notes: remarks, shown on the leaderboard.
        date: ISO date of the submission; empty in older cards.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    player: str = Field(min_length=1, max_length=120)
    environment: str
    split: str
    first: int = Field(0, ge=0)
    count: int = Field(ge=1, le=100_000)
    tries: int = Field(1, ge=1, le=1000)
    reset: dict[str, Any] = {}
    versions: dict[str, str]
    commitment: str = ""
    by: str = Field("", max_length=120)
    notes: str = Field("", max_length=2000)
    date: str = Field("", pattern=r"^(\d{4}-\d{2}-\d{2})?$")

    @field_validator("player")
    @classmethod
    def _require_printable_ascii_name(cls, player: str) -> str:
        # Look-alike letters and invisible characters could imitate another player's name.
        if not (player.isascii() and player.isprintable() and player == player.strip()):
            raise ValueError(
                f"{truncated_repr(player)}; allowed: printable ASCII characters, without spaces at "
                "the ends"
            )
        return player

    @field_validator("reset")
    @classmethod
    def _reject_task_selectors(cls, reset: dict[str, Any]) -> dict[str, Any]:
        if named := reset.keys() & EPISODE_SELECTORS:
            raise ValueError(f"{', '.join(sorted(named))} would select another task")
        if PRODUCT.name in reset:
            raise ValueError(OWN_PRODUCTS_REFUSED)
        return reset

    @property
    def is_scripted(self) -> bool:
        """Whether the player's name has the prefix of scripted policies."""
        return self.player.startswith(SCRIPTED_PREFIX)

    @property
    def board_key(self) -> BoardKey:
        """Key of the board that the submission belongs to."""
        reset_json = json.dumps(self.reset, sort_keys=True)
        return BoardKey(self.environment, self.split, self.first, self.count, reset_json)


def is_own_product_run(run: RecordedRun) -> bool:
    """Return whether a run was played on a user's own table, or on a product of one."""
    is_product = run.product is not None or run.reset.get(PRODUCT.name) is not None
    return is_product or run.is_private


@dataclass(frozen=True)
class Submission:
    """The content of a submission's folder.

    Attributes:
        name: name of the folder.
        card: the submission card.
        runs: the recorded runs.
        attestation_token: content of the attestation file; empty if the file does not exist.
        attestation: the signed record in `attestation_token`; None until its signature is verified.
    """

    name: str
    card: SubmissionCard
    runs: list[RecordedRun]
    attestation_token: str = ""
    attestation: Attestation | None = None

    @property
    def evidence_label(self) -> EvidenceLabel:
        """Whether the submission is attested by a verified record, or self-reported."""
        return EvidenceLabel.ATTESTED if self.attestation else EvidenceLabel.SELF_REPORTED


def read_submission(folder: Path) -> Submission:
    """Read a submission's folder. The signature of its attestation is not verified.

    Raises:
        SubmissionError: a file is missing, too large or malformed. The message contains its name.
    """
    for name in (CARD_FILENAME, RUNS_FILENAME):
        if not (folder / name).is_file():
            raise SubmissionError(f"{folder} has no {name}.")
    card = validate_submission_card(_read_yaml(folder / CARD_FILENAME), str(folder / CARD_FILENAME))
    try:
        runs = read_runs(folder / RUNS_FILENAME, MAX_RUNS_BYTES)
    except (KitError, OSError, EOFError, ValueError, zlib.error) as problem:
        raise SubmissionError(f"{folder / RUNS_FILENAME}: {problem}") from None
    token = ""
    if (folder / ATTESTATION_FILENAME).is_file():
        token = _read_limited_text(folder / ATTESTATION_FILENAME, MAX_ATTESTATION_BYTES)
    return Submission(folder.name, card, runs, token)


def validate_submission_card(
    card_fields: object, card_name_in_errors: str = "The card"
) -> SubmissionCard:
    """Validate the fields of a card.

    Args:
        card_fields: content of the card's file.
        card_name_in_errors: name of the card in errors, such as its path.

    Raises:
        SubmissionError: a field is missing or has a value that is not allowed.
    """
    try:
        return SubmissionCard.model_validate(card_fields)
    except ValidationError as problem:
        problems = "; ".join(
            f"{'.'.join(map(str, error['loc'])) or 'the card'}: {error['msg']}"
            for error in problem.errors()
        )
        raise SubmissionError(f"{card_name_in_errors}: {problems}.") from None


def write_submission(
    folder: Path, card: SubmissionCard, recordings_text: str, attestation_token: str = ""
) -> None:
    """Write a submission's folder. The same arguments always produce identical files.

    Args:
        folder: folder to write; created if it is missing.
        card: the card.
        recordings_text: the recorded runs, as JSON Lines.
        attestation_token: the server's signed record of sealed rollouts; empty to write no record.

    Raises:
        SubmissionError: the folder already contains a submission.
    """
    if (folder / CARD_FILENAME).exists():
        raise SubmissionError(f"{folder} already contains a submission; name another folder.")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / RUNS_FILENAME).write_bytes(gzip.compress(recordings_text.encode(), mtime=0))
    text = yaml.safe_dump(card.model_dump(exclude_defaults=True), sort_keys=False)
    (folder / CARD_FILENAME).write_text(text, encoding="utf-8")
    if attestation_token:
        (folder / ATTESTATION_FILENAME).write_text(
            f"{attestation_token.strip()}\n", encoding="utf-8"
        )


class _AliasFreeLoader(yaml.SafeLoader):
    """YAML loader that rejects aliases, because a few nested ones can expand to gigabytes."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, "aliases (*name) are not allowed", mark)
        return super().compose_node(parent, index)


def _read_limited_text(path: Path, max_bytes: int) -> str:
    with path.open("rb") as file:
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise SubmissionError(f"{path} is larger than {max_bytes // 1024} KiB.")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as problem:
        raise SubmissionError(f"{path} is not UTF-8: {problem}.") from None


def _read_yaml(path: Path) -> object:
    text = _read_limited_text(path, MAX_CARD_BYTES)
    try:
        return yaml.load(text, _AliasFreeLoader)
    except RecursionError:
        raise SubmissionError(f"{path} is nested too deeply.") from None
    except (yaml.YAMLError, ValueError) as problem:  # Invalid dates raise ValueError.
        raise SubmissionError(f"{path} is not YAML: {problem}") from None
