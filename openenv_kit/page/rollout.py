"""Opens a recorded rollout for the Runs tab: replays it and assigns its messages to steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from openenv_kit.environment import Environment, find_environment_entry_points, get_environment
from openenv_kit.errors import KitError
from openenv_kit.page.conversation import StepConversation, arrange_messages_by_step
from openenv_kit.page.playback import PlaybackStep, create_playback_that_checks_recording
from openenv_kit.recordings.format import RecordedRun, RecordingError, parse_runs_until_error
from openenv_kit.recordings.rollout_lines import compute_rollout_id, iter_step_messages
from openenv_kit.sealed_split import is_sealed_split

MAX_OPENED_CHARACTERS = 900_000
"""Maximum length of a rollout that a browser sends. It is below the limit for a request body."""


@dataclass(frozen=True)
class OpenedRollout:
    """A recorded rollout with its conversation and the replies of its replay.

    Attributes:
        rollout_id: identifier of the rollout.
        run: the recorded run.
        conversations: messages before the first step, of each step, and after the last step.
        steps: the reset and each step with its reply; empty if the rollout was not replayed.
        notice: why the replay is missing or incomplete; empty if it equals the recording.
        has_hidden_messages: whether messages are omitted because the task is sealed.
    """

    rollout_id: str
    run: RecordedRun
    conversations: Sequence[StepConversation]
    steps: Sequence[PlaybackStep]
    notice: str = ""
    has_hidden_messages: bool = False

    @property
    def step_count(self) -> int:
        """Number of steps of the episode."""
        return len(self.run.steps)

    @cached_property
    def has_messages(self) -> bool:
        """Whether the recording contains a conversation."""
        return any(conversation.entries for conversation in self.conversations)


class OtherEnvironmentError(RecordingError):
    """Raised if a rollout does not belong to the environment of the page.

    Attributes:
        environment_name: name of the rollout's environment; empty if it is not installed.
    """

    def __init__(self, message: str, environment_name: str) -> None:
        super().__init__(message)
        self.environment_name = environment_name


def open_rollout(lines: bytes, environment: Environment) -> OpenedRollout:
    """Open a rollout from the lines of its recording.

    Rollouts of sealed tasks are not replayed, because each start of a sealed task must be counted.

    Args:
        lines: lines of the recording of one rollout.
        environment: environment of the page.

    Raises:
        RecordingError: the lines contain no rollout, or the rollout is private.
        OtherEnvironmentError: the rollout does not belong to `environment`.
    """
    runs, error = parse_runs_until_error(lines.decode("utf-8", errors="replace"))
    if not runs:
        raise error or RecordingError("The file contains no rollout.")
    run = runs[0]
    if run.is_private:
        raise RecordingError("This recording is private, so the page does not show it.")
    _require_environment(run, environment)
    notices = [f"{error} The steps before this line are shown."] if error else []
    is_sealed = is_sealed_split(run.reset.get("split"))
    steps: Sequence[PlaybackStep] = ()
    if is_sealed:
        notices.append("Sealed tasks are not replayed here, so only the calls are shown.")
    else:
        steps, problem = _replay_run(run, environment)
        notices += [problem] if problem else []
    split_lines = lines.split(b"\n")
    messages = [] if is_sealed else list(iter_step_messages(split_lines))
    return OpenedRollout(
        compute_rollout_id(split_lines),
        run,
        arrange_messages_by_step(messages, len(run.steps)),
        steps,
        " ".join(notices),
        has_hidden_messages=is_sealed,
    )


def find_environment_of_run(run: RecordedRun) -> str:
    """Return the name of the installed environment that a run belongs to; empty if unknown.

    Older recordings do not contain this name. They belong to the first environment that defines
    all version names in the recording.
    """
    if run.environment:
        return run.environment if run.environment in find_environment_entry_points() else ""
    return next(
        (
            name
            for name in find_environment_entry_points()
            if set(run.versions) <= set(get_environment(name).versions)
        ),
        "",
    )


def _require_environment(run: RecordedRun, environment: Environment) -> None:
    is_own = run.environment == environment.name if run.environment else None
    if is_own or (is_own is None and set(run.versions) <= set(environment.versions)):
        return
    name = find_environment_of_run(run)
    title = get_environment(name).title if name else run.environment or "another environment"
    raise OtherEnvironmentError(f"This is a rollout of {title}.", name)


class _Replay(NamedTuple):
    steps: Sequence[PlaybackStep]
    problem: str


def _replay_run(run: RecordedRun, environment: Environment) -> _Replay:
    """Replay a run. The steps are empty if its replies differ from the recorded ones."""
    changed = [
        f"{name} {run.versions.get(name, 'unknown')} instead of {version}"
        for name, version in environment.versions.items()
        if run.versions.get(name) != version
    ]
    if changed:
        return _Replay(
            (),
            f"Recorded with another version ({', '.join(changed)}), so its replies cannot be "
            "computed again. Only the recorded messages are shown.",
        )
    try:
        playback = create_playback_that_checks_recording(run, environment)
    except KitError as refusal:
        return _Replay((), f"{refusal} Only the recorded messages are shown.")
    different = next(
        (n for n, step in enumerate(playback.steps) if step.matches_recording is False), None
    )
    if different is not None:
        position = f"step {different}" if different else "the reset"
        return _Replay(
            (),
            f"The replay gives another reply to {position} than the recording, although the "
            "versions are equal. Only the recorded messages are shown.",
        )
    replayed_count = len(playback.steps) - 1
    if replayed_count < len(run.steps):
        problem = f"Only the first {replayed_count} of {len(run.steps)} steps were replayed."
        return _Replay(playback.steps, problem)
    return _Replay(playback.steps, "")
