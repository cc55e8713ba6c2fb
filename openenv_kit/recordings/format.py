"""Recorded runs: JSON Lines that replay result for result, because episodes are deterministic.

One line per event. A file may hold several runs, one after the other:

```
{"event": "start", "format": "run/2", "player": …, "reset": {…}, "versions": {…},
 "digest": …}
{"event": "step", "n": 1, "action": {…}, "status": …, "reward": 0.0, "done": false,
 "digest": …, "elapsed_s": 0.004}
{"event": "end", "score": 1.0, "steps": 9}
```

Where a model played, `messages` of a step holds what it read and wrote since the step before, in
the form of chat endpoints, each answer with its token usage; those of the end hold the rest. An
episode that failed has the score null. `error` of the end says why an episode ended early.

`reset` holds the arguments that make the episode again. A digest is the SHA-256 of a reply's
status, reward, end and results, so a replay elsewhere can be compared with the original without
storing replies. How a reply words things is not part of it: a better sentence breaks no recording.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cache
from pathlib import Path
from typing import IO, Annotated, Any

from pydantic import Field, StrictBool, TypeAdapter, ValidationError

from openenv_kit.environment import Environment, get_environment
from openenv_kit.errors import ConfigurationError, truncated_repr
from openenv_kit.reply import EVIDENCE_SHARE_KEY

RECORDING_FORMAT = "run/2"
MAX_RECORDING_BYTES = 1 << 30
"""Largest recording that is read, uncompressed: a small file can hold a large one."""
_FIELDS_OF_ONE_RUN = ("task_id", "metadata")  # of one play, not of its episode
PROSE_FIELDS = frozenset(
    {
        "action_feedback",
        "definition",
        "description",
        "feedback_string",
        "grading",
        "instruction",
        "message",
        "notes",
        "objective",
        "row_format",
        "task",
    }
)
"""Names under which replies hold sentences for the player, at any depth."""
TOOL_LIST_PREFIX = "available_"
"""How fields begin that list what may be called or played, in the words of its tools."""


FiniteNumber = Annotated[float, Field(strict=True, allow_inf_nan=False)]
NonNegativeSeconds = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]


class RecordingError(ConfigurationError):
    """A file that is not a recorded run, or one of another format."""


@dataclass(frozen=True)
class RecordedStep:
    """One step of a recorded run."""

    action: dict[str, Any]
    status: str
    reward: FiniteNumber
    done: StrictBool
    digest: str
    elapsed_s: NonNegativeSeconds = 0.0


RECORDED_STEP_FIELDS = fields(RecordedStep)


@dataclass(frozen=True)
class RecordedRun:
    """One recorded run: what makes its episode, and what was done in it."""

    player: str
    reset: dict[str, Any]
    versions: dict[str, str]
    digest: str
    steps: list[RecordedStep] = field(default_factory=list)
    score: FiniteNumber | None = None
    grounded: FiniteNumber | None = None

    @property
    def task_name(self) -> str:
        """What people call its task."""
        named = self.reset.get("task_id")
        if named is None and "split" in self.reset:
            named = f"{self.reset['split']}-{self.reset.get('index', 0)}"
        return str(named or "custom")


class RunRecorder:
    """Writes one run as it is played.

    Args:
        stream: text stream to write to.
        player_name: name of the policy or model; never a key.
        reset_arguments: the reset's arguments.
        reset_observation: what the reset was answered.
        environment: what is played; None for the one that ENVIRONMENT names.
    """

    def __init__(
        self,
        stream: IO[str],
        player_name: str,
        reset_arguments: Mapping[str, Any],
        reset_observation: Mapping[str, Any],
        environment: Environment | None = None,
    ) -> None:
        self._stream, self._step_count = stream, 0
        self._write_event(
            event="start",
            format=RECORDING_FORMAT,
            player=player_name,
            reset=dict(reset_arguments),
            versions=dict((environment or get_environment()).versions),
            digest=compute_reply_digest(reset_observation),
        )

    def record_step(
        self,
        action: Mapping[str, Any],
        observation: Mapping[str, Any],
        elapsed_s: float = 0.0,
        messages: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        """Record an action and the reply to it.

        Args:
            action: what was sent.
            observation: the reply's.
            elapsed_s: seconds that the reply took.
            messages: those that a model read and wrote since the step before.
        """
        self._step_count += 1
        extra = {"messages": list(messages)} if messages else {}
        self._write_event(
            event="step",
            n=self._step_count,
            action=dict(action),
            status=observation.get("status", ""),
            reward=observation.get("reward") or 0.0,
            done=bool(observation.get("done")),
            digest=compute_reply_digest(observation),
            elapsed_s=round(elapsed_s, 6),
            **extra,
        )

    def record_end(
        self,
        score: float | None,
        last_observation: Mapping[str, Any] | None = None,
        messages: Sequence[Mapping[str, Any]] = (),
        error: str = "",
    ) -> None:
        """Record the final score.

        Args:
            score: in [0, 1]; None where the episode failed, so that nothing was measured.
            last_observation: observation of the last step, whose evidence share is recorded.
            messages: those that a model read and wrote since the last step.
            error: why the episode failed, or a remark on how it ended.
        """
        grounded = ((last_observation or {}).get("metadata") or {}).get(EVIDENCE_SHARE_KEY)
        extra: dict[str, Any] = {} if grounded is None else {EVIDENCE_SHARE_KEY: grounded}
        extra |= {"messages": list(messages)} if messages else {}
        extra |= {"error": error} if error else {}
        self._write_event(event="end", score=score, steps=self._step_count, **extra)

    def _write_event(self, **event: Any) -> None:
        self._stream.write(json.dumps(event, separators=(",", ":")) + "\n")
        self._stream.flush()


def canonical_observation_json(observation: Mapping[str, Any]) -> str:
    """Compact JSON of everything an observation says; empty fields say nothing."""
    said = {
        name: convert_models_to_dicts(value)
        for name, value in observation.items()
        if name not in _FIELDS_OF_ONE_RUN and convert_models_to_dicts(value)
    }
    return json.dumps(said, sort_keys=True, separators=(",", ":"))


def compute_reply_digest(observation: Mapping[str, Any]) -> str:
    """SHA-256 of what a reply says apart from its wording, in hexadecimal."""
    return hashlib.sha256(
        canonical_observation_json(remove_prose_fields(observation)).encode()
    ).hexdigest()


def remove_prose_fields(value: Any) -> Any:
    """A reply, or a part of one, without sentences and lists of tools; models as mappings."""
    value = convert_models_to_dicts(value)
    if isinstance(value, Mapping):
        return {
            name: remove_prose_fields(each)
            for name, each in value.items()
            if name not in PROSE_FIELDS and not str(name).startswith(TOOL_LIST_PREFIX)
        }
    if isinstance(value, list):
        return [remove_prose_fields(each) for each in value]
    return value


def read_recording_text(path: Path, max_bytes: int = MAX_RECORDING_BYTES) -> str:
    """Text of a file, which may be compressed by gzip.

    Raises:
        RecordingError: it holds more than `max_bytes`.
    """
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        found = file.read(max_bytes + 1)
    if len(found) > max_bytes:
        raise RecordingError(f"{path} holds more than {max_bytes // 2**20} MiB.")
    return found.decode("utf-8")


def iter_recording_paths(paths: Iterable[Path]) -> Iterator[Path]:
    """The recordings among some files and folders; those of a folder by their names.

    Raises:
        RecordingError: a folder without one.
    """
    for path in paths:
        found = [path]
        if path.is_dir():
            found = sorted([*path.glob("*.jsonl"), *path.glob("*.jsonl.gz")])
        if not found:
            problem = f"{path} holds no recording (*.jsonl or *.jsonl.gz)."
            raise RecordingError(problem)
        yield from found


def read_runs(path: Path | str, max_bytes: int = MAX_RECORDING_BYTES) -> list[RecordedRun]:
    """All runs of a file, which may be compressed by gzip.

    Raises:
        RecordingError: not a recording, one of another format or one of more than `max_bytes`;
            names the line.
    """
    runs, broken = parse_runs(read_recording_text(Path(path), max_bytes))
    if broken is not None:
        raise broken
    return runs


def parse_runs(text: str) -> tuple[list[RecordedRun], RecordingError | None]:
    """All runs of a text up to its first broken line, and what is wrong with that one, if any."""
    runs: list[RecordedRun] = []
    for number, line in enumerate(text.split("\n"), start=1):
        try:
            if line.strip():
                _apply_event_line(runs, line)
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
        except ValueError:  # e.g. an integer of more digits than Python reads
            problem = "not JSON."
        else:
            continue
        return runs, RecordingError(f"line {number}: {problem}")
    return runs, None


def _apply_event_line(runs: list[RecordedRun], line: str) -> None:
    """Add what a line says to the runs before it; raises what is wrong with it."""
    event = json.loads(line)
    kind = event.get("event")
    if kind == "start":
        if event["format"] != RECORDING_FORMAT:
            raise RecordingError(f"format {event['format']!r}; allowed: {RECORDING_FORMAT!r}.")
        made_of = ("player", "reset", "versions", "digest")
        start = {name: event[name] for name in made_of}
        runs.append(_get_type_adapter(RecordedRun).validate_python(start))
    elif kind == "step":
        step = {each.name: event[each.name] for each in RECORDED_STEP_FIELDS}
        runs[-1].steps.append(_get_type_adapter(RecordedStep).validate_python(step))
    elif kind == "end":
        end = {"score": event["score"], EVIDENCE_SHARE_KEY: event.get(EVIDENCE_SHARE_KEY)}
        runs[-1] = replace(
            runs[-1], **_get_type_adapter(dict[str, FiniteNumber | None]).validate_python(end)
        )
    else:
        raise RecordingError(f"unknown event {truncated_repr(kind)}.")


@cache
def _get_type_adapter(value_type: Any) -> TypeAdapter[Any]:
    """Return the validator of a type; building one takes longer than reading many lines."""
    return TypeAdapter(value_type)


def convert_models_to_dicts(value: Any) -> Any:
    """A value of an observation with its models as mappings."""
    if hasattr(value, "model_dump"):
        return value.model_dump()
    if isinstance(value, list | tuple):
        return [convert_models_to_dicts(each) for each in value]
    return value
