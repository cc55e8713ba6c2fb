"""Replays recorded runs in this process and compares the replies with the recorded ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from openenv_kit.environment import Environment, get_environment
from openenv_kit.own_data.product_argument import describe_product, require_own_data
from openenv_kit.own_data.product_support import LoadedProduct
from openenv_kit.recordings.digest import compute_reply_digest
from openenv_kit.recordings.format import RecordedRun, RecordingError
from openenv_kit.reply import Reply, observation_from_reply

_VERSIONS_IF_MISSING = {"replies": "1"}
"""Versions of runs that were recorded before the version existed."""


@dataclass(frozen=True)
class ReplayResult:
    """Result of replaying a recorded run.

    Attributes:
        run: the recorded run.
        score: score of the replay.
        first_different_step: number of the first step whose reply differs from the recorded one,
            ignoring prose; 0 is the reset. None if no reply differs.
    """

    run: RecordedRun
    score: float
    first_different_step: int | None

    @property
    def matches_recording(self) -> bool:
        """Whether every reply and, if recorded, the score are the same as in the recording."""
        return self.first_different_step is None and self.run.score in (None, self.score)


class ReplayedStep(NamedTuple):
    """The reset or a step of a replay.

    Attributes:
        action: the recorded action; empty for the reset.
        observation: observation of the new reply.
        matches_recording: whether the new reply has the recorded digest.
    """

    action: dict[str, Any]
    observation: dict[str, Any]
    matches_recording: bool


def replay_and_compare_run(
    run: RecordedRun, environment: Environment | None = None
) -> ReplayResult:
    """Replay a recorded run and compare every reply and the score.

    Args:
        run: the recorded run.
        environment: the environment; None for the default one.

    Raises:
        RecordingError: the run was recorded with a different version of the environment or a
            different product, so its episode or its score may differ.
    """
    environment = environment or get_environment()
    require_recorded_versions(run, environment)
    score, first_different_step = 0.0, None
    for number, step in enumerate(iter_replayed_steps(run, environment)):
        if not step.matches_recording and first_different_step is None:
            first_different_step = number
        score = max(score, step.observation["reward"] or 0.0)
    return ReplayResult(run, score, first_different_step)


def require_recorded_versions(run: RecordedRun, environment: Environment) -> None:
    """Check that a run was recorded with the installed versions.

    Raises:
        RecordingError: a version differs. The message contains the name of the version and both
            values.
    """
    for name, version in environment.versions.items():
        recorded = run.versions.get(name, _VERSIONS_IF_MISSING.get(name))
        if recorded != version:
            raise RecordingError(
                f"The run was recorded with {name} version {recorded!r}; this is "
                f"{version!r}. Replay it with the release that recorded it."
            )


def iter_replayed_steps(
    run: RecordedRun, environment: Environment | None = None
) -> Iterator[ReplayedStep]:
    """Replay a run in this process and yield its reset and each of its steps.

    Args:
        run: the recorded run.
        environment: the environment that it was recorded in; None for the default one.

    Raises:
        RecordingError: the run is private, or its product is not loaded in this process, or a
            different product is loaded under the same name.
    """
    environment = environment or get_environment()
    require_replayable_run(run, environment)
    prose_fields = environment.tools.prose_fields
    session = environment.create_session()
    reset = {name: value for name, value in run.reset.items() if name != "episode_id"}

    def compare_reply_with_recorded_digest(
        action: dict[str, Any], reply: Reply, recorded_digest: str
    ) -> ReplayedStep:
        observation = observation_from_reply(reply)
        digest = compute_reply_digest(observation, prose_fields)
        return ReplayedStep(action, observation, digest == recorded_digest)

    yield compare_reply_with_recorded_digest({}, session.reset(**reset), run.digest)
    for step in run.steps:
        yield compare_reply_with_recorded_digest(
            step.action, session.step(step.action), step.digest
        )


def require_replayable_run(run: RecordedRun, environment: Environment) -> None:
    """Check that the episode of a run can be generated in this process.

    Raises:
        RecordingError: the run is private, or its product is not loaded in this process, or a
            different product is loaded under the same name.
    """
    if run.is_private:
        raise RecordingError(
            "The recording is private: it contains numbers of a table that only the server of that "
            "table can play. It cannot be replayed, exported or submitted."
        )
    if run.product is not None:
        _require_recorded_product(run.product, environment)


def _require_recorded_product(recorded: LoadedProduct, environment: Environment) -> None:
    """Raise a RecordingError unless the recorded product is loaded under its name."""
    own_data = require_own_data(environment)
    if recorded.name not in own_data.list_product_names():
        raise RecordingError(
            f"The run was recorded with {describe_product(recorded)}. Pass its file with --product."
        )
    known = own_data.find_product(recorded.name)
    if known != recorded:
        raise RecordingError(
            f"The run was recorded with {describe_product(recorded)}, but the file has the digest "
            f"{known.digest}. Pass the file that was used for the recording."
        )
