"""The files of a submission: a card and recorded runs, and for sealed play the server's record.

```
submissions/some-model/card.yaml
submissions/some-model/runs.jsonl.gz
submissions/some-model/attestation.txt   of a sealed split, where its server signed one
```
"""

from __future__ import annotations

import gzip
import json
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from openenv_kit.errors import ConfigurationError, KitError, truncated_repr
from openenv_kit.recordings.format import RecordedRun, read_runs
from openenv_kit.reset_arguments import EPISODE_SELECTORS
from openenv_kit.trust.attestation import Attestation

CARD_FILENAME, RUNS_FILENAME, ATTESTATION_FILENAME = "card.yaml", "runs.jsonl.gz", "attestation.txt"
SCRIPTED_PREFIX = "scripted:"
"""Prefix of players that are policies of the environment."""
MAX_CARD_BYTES = 1 << 16
MAX_RUNS_BYTES = 1 << 28
"""Largest recordings of a submission, uncompressed; a million steps take about this much."""
MAX_ATTESTATION_BYTES = 1 << 24


class SubmissionError(ConfigurationError):
    """A folder that is not a submission."""


class SubmissionCard(BaseModel):
    """What a submission says of itself.

    Attributes:
        player: who played, as in the recordings; `scripted:NAME` is a policy of the environment.
        environment: its name.
        split: what was played.
        first, count: which of its tasks, from `first` on.
        tries: plays of each task.
        reset: further arguments of every reset.
        versions: under which it was played.
        commitment: to a sealed split, as published before it was played; empty for other splits.
        by, notes: whose submission it is, and what there is to say about it.
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

    @field_validator("player")
    @classmethod
    def _require_plain_name(cls, player: str) -> str:
        # Letters of other scripts and invisible characters could imitate another player's name.
        if not (player.isascii() and player.isprintable() and player == player.strip()):
            raise ValueError(
                f"{truncated_repr(player)}; allowed: printable ASCII characters, without spaces at "
                "the ends"
            )
        return player

    @field_validator("reset")
    @classmethod
    def _reject_task_arguments(cls, reset: dict[str, Any]) -> dict[str, Any]:
        if named := reset.keys() & EPISODE_SELECTORS:
            raise ValueError(f"{', '.join(sorted(named))} would name another task")
        return reset

    @property
    def is_scripted(self) -> bool:
        """Whether the player is called like a policy that comes with the environment."""
        return self.player.startswith(SCRIPTED_PREFIX)

    @property
    def board_key(self) -> tuple[str, str, int, int, str]:
        """The same for submissions whose scores compare."""
        reset = json.dumps(self.reset, sort_keys=True)
        return self.environment, self.split, self.first, self.count, reset


@dataclass(frozen=True)
class Submission:
    """A submission as it was read.

    Attributes:
        name: its folder's.
        attestation_token: content of its attestation file; empty where it has none.
        attestation: the record in `token`, once its signature was verified.
    """

    name: str
    card: SubmissionCard
    runs: list[RecordedRun]
    attestation_token: str = ""
    attestation: Attestation | None = None


def read_submission(folder: Path) -> Submission:
    """A folder's card and runs.

    Raises:
        SubmissionError: a file is missing or not what it has to be; says which.
    """
    for name in (CARD_FILENAME, RUNS_FILENAME):
        if not (folder / name).is_file():
            raise SubmissionError(f"{folder} has no {name}.")
    card = parse_card(_read_yaml(folder / CARD_FILENAME), str(folder / CARD_FILENAME))
    try:
        runs = read_runs(folder / RUNS_FILENAME, MAX_RUNS_BYTES)
    except (KitError, OSError, EOFError, ValueError, zlib.error) as problem:
        raise SubmissionError(f"{folder / RUNS_FILENAME}: {problem}") from None
    token = ""
    if (folder / ATTESTATION_FILENAME).is_file():
        token = _read_text(folder / ATTESTATION_FILENAME, MAX_ATTESTATION_BYTES)
    return Submission(folder.name, card, runs, token)


def parse_card(fields: Any, source: str = "The card") -> SubmissionCard:
    """Return the card of some fields.

    Raises:
        SubmissionError: a field is missing or has a value that is not allowed; names it.
    """
    try:
        return SubmissionCard.model_validate(fields)
    except ValidationError as problem:
        wrong = "; ".join(
            f"{'.'.join(map(str, each['loc'])) or 'the card'}: {each['msg']}"
            for each in problem.errors()
        )
        raise SubmissionError(f"{source}: {wrong}.") from None


def write_submission(
    folder: Path, card: SubmissionCard, recordings_text: str, attestation_token: str = ""
) -> None:
    """Write a submission; the same content gives the same bytes.

    `token` is the signed record of sealed play, if there is one.

    Raises:
        SubmissionError: the folder holds one already.
    """
    if (folder / CARD_FILENAME).exists():
        raise SubmissionError(f"{folder} holds a submission already; name another folder.")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / RUNS_FILENAME).write_bytes(gzip.compress(recordings_text.encode(), mtime=0))
    text = yaml.safe_dump(card.model_dump(exclude_defaults=True), sort_keys=False)
    (folder / CARD_FILENAME).write_text(text, encoding="utf-8")
    if attestation_token:
        (folder / ATTESTATION_FILENAME).write_text(
            f"{attestation_token.strip()}\n", encoding="utf-8"
        )


class _AliasFreeLoader(yaml.SafeLoader):
    """Loads YAML without aliases: a few of them stand for gigabytes once they are written out."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, "aliases (*name) are not allowed", mark)
        return super().compose_node(parent, index)


def _read_text(path: Path, max_bytes: int) -> str:
    with path.open("rb") as file:
        found = file.read(max_bytes + 1)
    if len(found) > max_bytes:
        raise SubmissionError(f"{path} holds more than {max_bytes // 1024} KiB.")
    try:
        return found.decode("utf-8")
    except UnicodeDecodeError as problem:
        raise SubmissionError(f"{path} is not UTF-8: {problem}.") from None


def _read_yaml(path: Path) -> Any:
    text = _read_text(path, MAX_CARD_BYTES)
    try:
        return yaml.load(text, _AliasFreeLoader)
    except RecursionError:
        raise SubmissionError(f"{path} is nested too deeply.") from None
    except (yaml.YAMLError, ValueError) as problem:  # ValueError: an impossible date or number
        raise SubmissionError(f"{path} is not YAML: {problem}") from None
