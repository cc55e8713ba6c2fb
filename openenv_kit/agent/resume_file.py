"""The `--resume` file, with one line of JSON for each episode that was played to its end.

Each line contains the player, the versions and the settings, so that results of different
runs are not mixed. Episodes that failed or were interrupted are not in the file and are played
again.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from openenv_kit.agent.episode_plan import PlannedEpisode
from openenv_kit.agent.redaction import Redact
from openenv_kit.agent.results import EpisodeResult
from openenv_kit.agent.servers import PrintStatus
from openenv_kit.environment import Environment
from openenv_kit.errors import ConfigurationError, truncated_repr
from openenv_kit.own_data.product_support import LoadedProduct

EPISODES_FORMAT = "metric-tracker-episodes/2"
RESULT_ADAPTER = TypeAdapter(EpisodeResult)


class ResumeFile:
    """Locked file with the results of a run's finished episodes.

    Args:
        path: path of the file; it is created if it is missing.
        environment: environment of the run.
        player_name: name of the run's player.
        score_settings: settings that the player's scores depend on.
        redact: function that removes secrets from a string.
        product: product that every episode is generated from; None if there is none.

    Raises:
        ConfigurationError: another run is using the file.
    """

    def __init__(
        self,
        path: Path,
        environment: Environment,
        player_name: str,
        score_settings: Mapping[str, Any],
        redact: Redact,
        product: LoadedProduct | None = None,
    ) -> None:
        self._path, self._redact = path, redact
        self._header = {
            "format": EPISODES_FORMAT,
            "environment": environment.name,
            "player": player_name,
            "terms": dict(score_settings),
            "versions": dict(environment.versions),
            **({} if product is None else product.row_columns),
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a+b")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise ConfigurationError(
                f"--resume {path}: another run is writing this file."
            ) from None

    def read_results_of_planned_episodes(
        self, planned_episodes: Sequence[PlannedEpisode], print_status: PrintStatus
    ) -> list[EpisodeResult]:
        """Read the results in the file that belong to planned episodes.

        An incomplete last line, which an aborted run leaves behind, is removed from the file.

        Args:
            planned_episodes: episodes of this run.
            print_status: prints a status message for the user.

        Raises:
            ConfigurationError: a line is not a result, has a different player, version, setting or
                reset argument, or repeats an episode.
        """
        planned_by_label = {planned.unique_label: planned for planned in planned_episodes}
        line_of_label: dict[str, int] = {}
        results: list[EpisodeResult] = []
        other_count = 0
        for line_number, line in enumerate(self._read_lines_and_repair_end(print_status), start=1):
            location = f"--resume {self._path}, line {line_number}"
            result = self._parse_result_of_same_run(line, location)
            label = result.planned.unique_label
            if label in line_of_label:
                raise ConfigurationError(
                    f"{location}: {label} is already in line {line_of_label[label]}."
                )
            line_of_label[label] = line_number
            if label not in planned_by_label:
                other_count += 1
            elif result.planned != planned_by_label[label]:
                raise ConfigurationError(
                    f"{location}: {label} was played with {result.planned.reset}, but this run "
                    f"plays it with {planned_by_label[label].reset}. Name another file."
                )
            else:
                results.append(result)
        if line_of_label:
            others = f", and {other_count} that this run does not play" if other_count else ""
            print_status(
                f"{self._path} contains {len(results)} of {len(planned_by_label)} episodes{others}."
            )
        return results

    def append_result_if_finished(self, result: EpisodeResult) -> None:
        """Append a result, unless the episode failed or was interrupted."""
        if not result.is_finished:
            return
        entry = {**self._header, "episode": RESULT_ADAPTER.dump_python(result, mode="json")}
        line = json.dumps(entry, separators=(",", ":"), ensure_ascii=False)
        self._file.write(self._redact(line).encode() + b"\n")
        self._file.flush()

    def close(self) -> None:
        """Close and unlock the file."""
        self._file.close()

    def _read_lines_and_repair_end(self, print_status: PrintStatus) -> list[bytes]:
        """Return the lines of the file after repairing its end.

        An incomplete last line is removed; a missing line break is added.
        """
        self._file.seek(0)
        *lines, rest = self._file.read().split(b"\n")
        if rest:
            try:
                json.loads(rest)
            except ValueError:
                self._file.truncate(self._file.tell() - len(rest))
                print_status(
                    f"{self._path}, line {len(lines) + 1}: the last line was not finished; its "
                    f"{len(rest)} bytes were removed, and its episode is played again."
                )
            else:  # only the line break is missing
                self._file.write(b"\n")
                lines.append(rest)
        return lines

    def _parse_result_of_same_run(self, line: bytes, location: str) -> EpisodeResult:
        try:
            entry = json.loads(line)
            result = RESULT_ADAPTER.validate_python(entry.pop("episode"))
        except (ValueError, TypeError, AttributeError, KeyError):
            raise ConfigurationError(
                f"{location}: {truncated_repr(line.decode(errors='replace'))} is not an episode of "
                f"the format {EPISODES_FORMAT!r}."
            ) from None
        for name, value in self._header.items():
            if entry.get(name) != value:
                raise ConfigurationError(
                    f"{location}: {name} is {entry.get(name)!r}; this run has {value!r}. Name "
                    "another file."
                )
        return result
