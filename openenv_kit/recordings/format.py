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
from openenv_kit.errors import ConfigurationError, echo
from openenv_kit.session import GROUNDED

FORMAT = "run/2"
MOST_BYTES = 1 << 30
"""Largest recording that is read, uncompressed: a small file can hold a large one."""
_UNSTABLE = ("task_id", "metadata")  # of one play, not of its episode
WORDING = frozenset(
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
CATALOGUE = "available_"
"""How fields begin that list what may be called or played, in the words of its tools."""


Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Seconds = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]


class RecordingError(ConfigurationError):
    """A file that is not a recorded run, or one of another format."""


@dataclass(frozen=True)
class RecordedStep:
    """One step of a recorded run."""

    action: dict[str, Any]
    status: str
    reward: Number
    done: StrictBool
    digest: str
    elapsed_s: Seconds = 0.0


STEP_FIELDS = fields(RecordedStep)


@dataclass(frozen=True)
class RecordedRun:
    """One recorded run: what makes its episode, and what was done in it."""

    player: str
    reset: dict[str, Any]
    versions: dict[str, str]
    digest: str
    steps: list[RecordedStep] = field(default_factory=list)
    score: Number | None = None
    grounded: Number | None = None

    @property
    def task(self) -> str:
        """What people call its task."""
        named = self.reset.get("task_id")
        if named is None and "split" in self.reset:
            named = f"{self.reset['split']}-{self.reset.get('index', 0)}"
        return str(named or "custom")


class RunRecorder:
    """Writes one run as it is played.

    Args:
        stream: text stream to write to.
        player: name of the policy or model; never a key.
        reset: the reset's arguments.
        opening: what the reset was answered.
        environment: what is played; None for the one that ENVIRONMENT names.
    """

    def __init__(
        self,
        stream: IO[str],
        player: str,
        reset: Mapping[str, Any],
        opening: Mapping[str, Any],
        environment: Environment | None = None,
    ) -> None:
        self._stream, self._steps = stream, 0
        self._write(
            event="start",
            format=FORMAT,
            player=player,
            reset=dict(reset),
            versions=dict((environment or get_environment()).versions),
            digest=digest_of(opening),
        )

    def step(
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
        self._steps += 1
        extra = {"messages": list(messages)} if messages else {}
        self._write(
            event="step",
            n=self._steps,
            action=dict(action),
            status=observation.get("status", ""),
            reward=observation.get("reward") or 0.0,
            done=bool(observation.get("done")),
            digest=digest_of(observation),
            elapsed_s=round(elapsed_s, 6),
            **extra,
        )

    def end(
        self,
        score: float | None,
        last: Mapping[str, Any] | None = None,
        messages: Sequence[Mapping[str, Any]] = (),
        error: str = "",
    ) -> None:
        """Record the final score.

        Args:
            score: in [0, 1]; None where the episode failed, so that nothing was measured.
            last: observation of the last step, whose evidence share is recorded.
            messages: those that a model read and wrote since the last step.
            error: why the episode failed, or a remark on how it ended.
        """
        grounded = ((last or {}).get("metadata") or {}).get(GROUNDED)
        extra: dict[str, Any] = {} if grounded is None else {GROUNDED: grounded}
        extra |= {"messages": list(messages)} if messages else {}
        extra |= {"error": error} if error else {}
        self._write(event="end", score=score, steps=self._steps, **extra)

    def _write(self, **event: Any) -> None:
        self._stream.write(json.dumps(event, separators=(",", ":")) + "\n")
        self._stream.flush()


def canonical(observation: Mapping[str, Any]) -> str:
    """Compact JSON of everything an observation says; empty fields say nothing."""
    said = {
        name: plain(value)
        for name, value in observation.items()
        if name not in _UNSTABLE and plain(value)
    }
    return json.dumps(said, sort_keys=True, separators=(",", ":"))


def digest_of(observation: Mapping[str, Any]) -> str:
    """SHA-256 of what a reply says apart from its wording, in hexadecimal."""
    return hashlib.sha256(canonical(without_wording(observation)).encode()).hexdigest()


def without_wording(value: Any) -> Any:
    """A reply, or a part of one, without sentences and lists of tools; models as mappings."""
    value = plain(value)
    if isinstance(value, Mapping):
        return {
            name: without_wording(each)
            for name, each in value.items()
            if name not in WORDING and not str(name).startswith(CATALOGUE)
        }
    if isinstance(value, list):
        return [without_wording(each) for each in value]
    return value


def text_of(path: Path, max_bytes: int = MOST_BYTES) -> str:
    """Text of a file, which may be compressed by gzip.

    Raises:
        RecordingError: it holds more than `max_bytes`.
    """
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        found = file.read(max_bytes + 1)
    if len(found) > max_bytes:
        raise RecordingError(f"{path} holds more than {max_bytes // 2**20} MiB.")
    return found.decode("utf-8")


def recordings(paths: Iterable[Path]) -> Iterator[Path]:
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


def read_runs(path: Path | str, max_bytes: int = MOST_BYTES) -> list[RecordedRun]:
    """All runs of a file, which may be compressed by gzip.

    Raises:
        RecordingError: not a recording, one of another format or one of more than `max_bytes`;
            names the line.
    """
    runs, broken = runs_in(text_of(Path(path), max_bytes))
    if broken is not None:
        raise broken
    return runs


def runs_in(text: str) -> tuple[list[RecordedRun], RecordingError | None]:
    """All runs of a text up to its first broken line, and what is wrong with that one, if any."""
    runs: list[RecordedRun] = []
    for number, line in enumerate(text.split("\n"), start=1):
        try:
            if line.strip():
                _read_line(runs, line)
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


def _read_line(runs: list[RecordedRun], line: str) -> None:
    """Add what a line says to the runs before it; raises what is wrong with it."""
    event = json.loads(line)
    kind = event.get("event")
    if kind == "start":
        if event["format"] != FORMAT:
            raise RecordingError(f"format {event['format']!r}; allowed: {FORMAT!r}.")
        made_of = ("player", "reset", "versions", "digest")
        start = {name: event[name] for name in made_of}
        runs.append(_validator(RecordedRun).validate_python(start))
    elif kind == "step":
        step = {each.name: event[each.name] for each in STEP_FIELDS}
        runs[-1].steps.append(_validator(RecordedStep).validate_python(step))
    elif kind == "end":
        end = {"score": event["score"], GROUNDED: event.get(GROUNDED)}
        runs[-1] = replace(runs[-1], **_validator(dict[str, Number | None]).validate_python(end))
    else:
        raise RecordingError(f"unknown event {echo(kind)}.")


@cache
def _validator(kind: Any) -> TypeAdapter[Any]:
    """Return the validator of a type; building one takes longer than reading many lines."""
    return TypeAdapter(kind)


def plain(value: Any) -> Any:
    """A value of an observation with its models as mappings."""
    if hasattr(value, "model_dump"):
        return value.model_dump()
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return value
