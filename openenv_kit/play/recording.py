"""Recorded runs: JSON Lines that replay bit for bit, because episodes are deterministic.

One line per event. A file may hold several runs, one after the other:

```
{"event": "start", "format": "metric-tracker-run/1", "player": …, "reset": {…}, "versions": {…},
 "digest": …}
{"event": "step", "n": 1, "action": {…}, "status": …, "reward": 0.0, "done": false,
 "digest": …, "bytes": 812, "elapsed_s": 0.004}
{"event": "end", "score": 1.0, "steps": 9}
```

`reset` holds the arguments that make the episode again; a digest is the SHA-256 of what the
reply said, so a replay elsewhere can be compared with the original without storing replies.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import IO, Any

from openenv_kit.environment import Environment, get_environment
from openenv_kit.errors import ConfigurationError
from openenv_kit.play.driver import observed

FORMAT = "metric-tracker-run/1"
MOST_BYTES = 1 << 30
"""Largest recording that is read, uncompressed: a small file can hold a large one."""
_UNSTABLE = ("task_id", "metadata")  # of one play, not of its episode


class RecordingError(ConfigurationError):
    """A file that is not a recorded run, or one of another format."""


@dataclass(frozen=True)
class RecordedStep:
    """One step of a recorded run."""

    action: dict[str, Any]
    status: str
    reward: float
    done: bool
    digest: str
    bytes: int = 0
    elapsed_s: float = 0.0


STEP_FIELDS = fields(RecordedStep)


@dataclass(frozen=True)
class RecordedRun:
    """One recorded run: what makes its episode, and what was done in it."""

    player: str
    reset: dict[str, Any]
    versions: dict[str, str]
    digest: str
    steps: tuple[RecordedStep, ...] = ()
    score: float | None = None


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
            versions=dict((environment or get_environment()).versions_for(reset)),
            digest=digest_of(opening),
        )

    def step(
        self, action: Mapping[str, Any], observation: Mapping[str, Any], elapsed_s: float = 0.0
    ) -> None:
        """Record an action and what was answered."""
        self._steps += 1
        self._write(
            event="step",
            n=self._steps,
            action=dict(action),
            status=observation.get("status", ""),
            reward=observation.get("reward") or 0.0,
            done=bool(observation.get("done")),
            digest=digest_of(observation),
            bytes=len(canonical(observation).encode()),
            elapsed_s=round(elapsed_s, 6),
        )

    def end(self, score: float) -> None:
        """Record the final score."""
        self._write(event="end", score=score, steps=self._steps)

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
    """SHA-256 of the canonical form, in hexadecimal."""
    return hashlib.sha256(canonical(observation).encode()).hexdigest()


def text_of(path: Path) -> str:
    """Text of a file, which may be compressed by gzip.

    Raises:
        RecordingError: it holds more than `MOST_BYTES`.
    """
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        found = file.read(MOST_BYTES + 1)
    if len(found) > MOST_BYTES:
        raise RecordingError(f"{path} holds more than {MOST_BYTES // 2**20} MiB.")
    return found.decode("utf-8")


def read_runs(path: Path | str) -> list[RecordedRun]:
    """All runs of a file, which may be compressed by gzip.

    Raises:
        RecordingError: not a recording, or one of another format; names the line.
    """
    runs, broken = readable_runs(path)
    if broken is not None:
        raise broken
    return runs


def readable_runs(path: Path | str) -> tuple[list[RecordedRun], RecordingError | None]:
    """All runs of a file up to its first broken line, and what is wrong with that one, if any."""
    reader, broken = _Reader(), None
    lines = text_of(Path(path)).split("\n")
    for number, line in enumerate(lines, start=1):
        try:
            if line.strip():
                reader.add(line)
        except json.JSONDecodeError:
            broken = RecordingError(f"line {number}: not JSON.")
        except AttributeError:
            broken = RecordingError(f"line {number}: not a JSON object.")
        except (KeyError, IndexError, TypeError):
            broken = RecordingError(f"line {number}: not a line of a recorded run.")
        except RecordingError as problem:
            broken = RecordingError(f"line {number}: {problem}")
        if broken is not None:
            break
    reader.finish()
    return reader.runs, broken


class _Reader:
    """Runs in the making; a run gets its steps all at once, because it may have very many."""

    def __init__(self) -> None:
        self.runs: list[RecordedRun] = []
        self._steps: list[RecordedStep] = []

    def add(self, line: str) -> None:
        """Read one line; raises what is wrong with it."""
        event = json.loads(line)
        kind = event.get("event")
        if kind == "start":
            if event["format"] != FORMAT:
                raise RecordingError(f"format {event['format']!r}; allowed: {FORMAT!r}.")
            told = [event[name] for name in ("player", "reset", "versions", "digest")]
            self.finish()
            self.runs.append(RecordedRun(*told))
        elif kind == "step":
            step = RecordedStep(**{each.name: event[each.name] for each in STEP_FIELDS})
            if not self.runs:
                raise IndexError
            self._steps.append(step)
        elif kind == "end":
            self.runs[-1] = replace(self.runs[-1], score=event["score"])
        else:
            raise RecordingError(f"unknown event {kind!r}.")

    def finish(self) -> None:
        """Give the last run its steps."""
        if self.runs:
            self.runs[-1] = replace(self.runs[-1], steps=tuple(self._steps))
        self._steps.clear()


def replay(
    run: RecordedRun, environment: Environment | None = None
) -> Iterator[tuple[dict[str, Any], dict[str, Any], bool]]:
    """Play a run again in process, in the environment that it was recorded in.

    Yields (action, observation, same) of the reset, whose action is empty, and of each step;
    `same` says whether the reply's digest is the recorded one.
    """
    session = (environment or get_environment()).session()
    reset = {name: value for name, value in run.reset.items() if name != "episode_id"}
    opening = observed(session.reset(**reset))
    yield {}, opening, digest_of(opening) == run.digest
    for step in run.steps:
        answer = observed(session.step(step.action))
        yield step.action, answer, digest_of(answer) == step.digest


def plain(value: Any) -> Any:
    """A value of an observation with its models as mappings."""
    if hasattr(value, "model_dump"):
        return value.model_dump()
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return value
