"""Recordings: the file format, writing and reading.

A recording is a JSON Lines file with one line per event. It contains one or more runs:

```
{"event": "start", "format": "run/2", "player": …, "environment": …, "reset": {…},
 "versions": {…}, "digest": …}
{"event": "step", "n": 1, "action": {…}, "status": …, "reward": 0.0, "done": false,
 "digest": …, "elapsed_s": 0.004}
{"event": "end", "score": 1.0, "steps": 9, "errors": 0, "tokens": 8120, "outcome": "completed"}
```

The start and the end contain everything that a list of rollouts shows, so listing needs no replay.
`errors` is the number of rejected tool calls, and `tokens` is the number of tokens that a model
read and wrote, if its endpoint counted them. Older recordings, which lack these fields, can also be
read. A start with `private: true` marks a recording whose data must not be shown or exported.

`reset` contains the arguments that start the same episode again. Episodes are deterministic, so a
replay gives the same replies. If the episode was generated from a product of a user's own table,
`reset` contains the product's name, and the start has `product` and `product_digest`; a replay
needs the file of that product. Replies are not stored. Each `digest` is the digest of a reply (see
`openenv_kit.recordings.digest`). A replay compares the digests of its own replies with them.

If a model played, the field `messages` of a step contains the messages that the model received and
sent since the previous step, in the chat-completions format, with the token usage of each response.
The same field of the end contains the remaining messages. The score of a failed episode is null.
The field `error` of the end is the reason why an episode ended early.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import Field, StrictBool, TypeAdapter, ValidationError

from openenv_kit.errors import ConfigurationError, truncated_repr
from openenv_kit.own_data.product_support import PRODUCT_DIGEST_COLUMN, LoadedProduct
from openenv_kit.reply import EVIDENCE_SHARE_KEY
from openenv_kit.reset_arguments import PRODUCT

RECORDING_FORMAT = "run/2"
MAX_RECORDING_BYTES = 1 << 30
"""Largest recording that is read, in bytes after decompression."""

FiniteNumber = Annotated[float, Field(strict=True, allow_inf_nan=False)]
StrictCount = Annotated[int, Field(strict=True, ge=0)]
NonNegativeSeconds = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]


class RolloutOutcome(StrEnum):
    """How a recorded rollout ended."""

    COMPLETED = "completed"
    """The episode ended with a report, or with the environment's own end."""
    NO_REPORT = "no report"
    """The player stopped, or the episode reached a limit, before anything was graded."""
    FAILED = "failed"
    """The server, the model's endpoint or the player failed, so there is no score."""


class RecordingError(ConfigurationError):
    """A file is not a recording, is too large, or its run cannot be replayed."""


@dataclass(frozen=True)
class RecordedStep:
    """One step of a recorded run.

    Attributes:
        action: the action as it was sent.
        status, reward, done: the fields of the reply with these names.
        digest: digest of the reply.
        elapsed_s: seconds until the reply arrived.
    """

    action: dict[str, Any]
    status: str
    reward: FiniteNumber
    done: StrictBool
    digest: str
    elapsed_s: NonNegativeSeconds = 0.0


@dataclass(frozen=True)
class RecordedRun:
    """One recorded run.

    Attributes:
        player: name of the policy or model.
        reset: arguments of the reset.
        versions: the environment's versions, by name.
        digest: digest of the reply to the reset.
        steps: the steps, in order.
        score: final score in [0, 1]; None if the episode failed or has no recorded end.
        evidence_share: share of correct rows whose data the player had requested; None if it is
            not recorded.
        product: product that the episode was generated from; None if it was generated without one.
        environment: name of the environment; empty in older recordings.
        error_count: number of rejected tool calls; None if it is not recorded.
        token_count: number of tokens that a model read and wrote; None if it is not recorded.
        outcome: a `RolloutOutcome`; empty if it is not recorded or the run has no end.
        error: reason why the episode failed, or a note about how it ended; may be empty.
        has_end: whether the recording contains the end of the run.
        is_private: whether the recording must not be shown or exported.
    """

    player: str
    reset: dict[str, Any]
    versions: dict[str, str]
    digest: str
    steps: list[RecordedStep] = field(default_factory=list)
    score: FiniteNumber | None = None
    evidence_share: FiniteNumber | None = None
    product: LoadedProduct | None = None
    environment: str = ""
    error_count: StrictCount | None = None
    token_count: StrictCount | None = None
    outcome: str = ""
    error: str = ""
    has_end: bool = False
    is_private: bool = False

    @property
    def task_name(self) -> str:
        """Name of the task: its id, `<split>-<index>`, or `custom`."""
        task_id = self.reset.get("task_id")
        if task_id is not None:
            return str(task_id or "custom")
        if "split" in self.reset:
            return f"{self.reset['split']}-{self.reset.get('index', 0)}"
        return "custom"


class ParsedRuns(NamedTuple):
    """The runs in a recording's text up to the first invalid line.

    Attributes:
        runs: the runs; the last one is incomplete if there is an error.
        error: error for the first invalid line; None if every line is valid.
    """

    runs: list[RecordedRun]
    error: RecordingError | None


_RUN_START_FIELDS = ("player", "reset", "versions", "digest")
_STEP_FIELDS = tuple(step_field.name for step_field in fields(RecordedStep))


def read_runs(path: Path | str, max_bytes: int = MAX_RECORDING_BYTES) -> list[RecordedRun]:
    """Read all runs of a recording file, which may be compressed with gzip.

    Raises:
        RecordingError: the file is not a recording, has a different format, or is larger than
            `max_bytes`. The message contains the line number.
    """
    runs, error = parse_runs_until_error(read_recording_text(Path(path), max_bytes))
    if error is not None:
        raise error
    return runs


def read_recording_text(path: Path, max_bytes: int = MAX_RECORDING_BYTES) -> str:
    """Read the text of a file, which may be compressed with gzip.

    Raises:
        RecordingError: the text has more than `max_bytes`.
    """
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise RecordingError(f"{path} has more than {max_bytes // 2**20} MiB.")
    return content.decode("utf-8")


def iter_recording_paths(paths: Iterable[Path]) -> Iterator[Path]:
    """Yield the given files, and the recordings in the given folders sorted by name.

    Raises:
        RecordingError: a folder contains no recording.
    """
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        recordings = sorted([*path.glob("*.jsonl"), *path.glob("*.jsonl.gz")])
        if not recordings:
            raise RecordingError(f"{path} contains no recording (*.jsonl or *.jsonl.gz).")
        yield from recordings


def parse_runs_until_error(text: str) -> ParsedRuns:
    """Parse the runs in the text of a recording, up to the first invalid line."""
    runs: list[RecordedRun] = []
    for number, line in enumerate(text.split("\n"), start=1):
        try:
            if line.strip():
                _add_event_line_to_runs(runs, line)
        except json.JSONDecodeError:
            problem = "not JSON."
        except AttributeError:
            problem = "not a JSON object."
        except (KeyError, IndexError, TypeError):
            problem = "not a line of a recorded run."
        except ValidationError as invalid:
            wrong = (f"{error['loc'][0]}: {error['msg']}" for error in invalid.errors())
            problem = f"not a line of a recorded run ({'; '.join(wrong)})."
        except RecordingError as refusal:
            problem = str(refusal)
        except RecursionError:
            problem = "nested too deeply."
        except ValueError:  # for example an integer with more digits than Python reads
            problem = "not JSON."
        else:
            continue
        return ParsedRuns(runs, RecordingError(f"line {number}: {problem}"))
    return ParsedRuns(runs, None)


def _add_event_line_to_runs(runs: list[RecordedRun], line: str) -> None:
    """Parse a line and add its event to `runs`; raise an error if the line is invalid."""
    event = json.loads(line)
    kind = event.get("event")
    if kind == "start":
        if event["format"] != RECORDING_FORMAT:
            raise RecordingError(f"format {event['format']!r}; allowed: {RECORDING_FORMAT!r}.")
        start = {name: event[name] for name in _RUN_START_FIELDS}
        if PRODUCT_DIGEST_COLUMN in event:
            start["product"] = (event[PRODUCT.name], event[PRODUCT_DIGEST_COLUMN])
        start["environment"] = event.get("environment", "")
        start["is_private"] = bool(event.get("private"))
        runs.append(_get_cached_type_adapter(RecordedRun).validate_python(start))
    elif kind == "step":
        step = {name: event[name] for name in _STEP_FIELDS}
        runs[-1].steps.append(_get_cached_type_adapter(RecordedStep).validate_python(step))
    elif kind == "end":
        end = {"score": event["score"], EVIDENCE_SHARE_KEY: event.get(EVIDENCE_SHARE_KEY)}
        values = _get_cached_type_adapter(dict[str, FiniteNumber | None]).validate_python(end)
        counts = {"errors": event.get("errors"), "tokens": event.get("tokens")}
        counts = _get_cached_type_adapter(dict[str, StrictCount | None]).validate_python(counts)
        runs[-1] = replace(
            runs[-1],
            score=values["score"],
            evidence_share=values[EVIDENCE_SHARE_KEY],
            error_count=counts["errors"],
            token_count=counts["tokens"],
            outcome=str(event.get("outcome") or ""),
            error=str(event.get("error") or ""),
            has_end=True,
        )
    else:
        raise RecordingError(f"unknown event {truncated_repr(kind)}.")


@cache
def _get_cached_type_adapter(value_type: Any) -> TypeAdapter[Any]:
    # Adapters are cached, because building one takes longer than parsing many lines.
    return TypeAdapter(value_type)
