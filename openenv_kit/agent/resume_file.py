"""The file that a run is resumed from: a JSON line for each episode that was played to its end.

Each line says what it was played under, so that a file never mixes two players, two versions or
two sets of settings. Episodes that failed or were interrupted are not in it: they are played
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

EPISODES_FORMAT = "metric-tracker-episodes/2"
RESULT_ADAPTER = TypeAdapter(EpisodeResult)


class ResumeFile:
    """Results of a run's episodes, each written as soon as it is there; of one run at a time.

    Args:
        path: may not exist yet.
        environment: what is played.
        player_name: its name.
        score_settings: the settings that its scores depend on.
        redact: cuts secrets out of what is written.

    Raises:
        ConfigurationError: another run has opened the file.
    """

    def __init__(
        self,
        path: Path,
        environment: Environment,
        player_name: str,
        score_settings: Mapping[str, Any],
        redact: Redact,
    ) -> None:
        self._path, self._redact = path, redact
        self._header = {
            "format": EPISODES_FORMAT,
            "environment": environment.name,
            "player": player_name,
            "terms": dict(score_settings),
            "versions": dict(environment.versions),
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

    def read_results(
        self, planned_episodes: Sequence[PlannedEpisode], print_status: PrintStatus
    ) -> list[EpisodeResult]:
        """Results of the planned episodes that the file holds.

        A last line that a killed run left unfinished is dropped from the file.

        Raises:
            ConfigurationError: a line is not a result, was played under something else, is of
                another episode of the same name, or is there twice.
        """
        wanted = {each.label: each for each in planned_episodes}
        places: dict[str, int] = {}
        found, others = [], 0
        for number, line in enumerate(self._read_complete_lines(print_status), start=1):
            place = f"--resume {self._path}, line {number}"
            result = self._parse_line(line, place)
            label = result.planned.label
            if label in places:
                raise ConfigurationError(f"{place}: {label} is in line {places[label]} already.")
            places[label] = number
            if label not in wanted:
                others += 1
            elif result.planned != wanted[label]:
                raise ConfigurationError(
                    f"{place}: {label} was played with {result.planned.reset}; this run asks for "
                    f"{wanted[label].reset}. Name another file."
                )
            else:
                found.append(result)
        if places:
            more = f", and {others} that this run does not ask for" if others else ""
            print_status(f"{self._path} holds {len(found)} of {len(wanted)} episodes{more}.")
        return found

    def append_result(self, result: EpisodeResult) -> None:
        """Append a result, if the episode was played to its end."""
        if not result.is_finished:
            return
        entry = {**self._header, "episode": RESULT_ADAPTER.dump_python(result, mode="json")}
        line = json.dumps(entry, separators=(",", ":"), ensure_ascii=False)
        self._file.write(self._redact(line).encode() + b"\n")
        self._file.flush()

    def close(self) -> None:
        """Let other runs write the file."""
        self._file.close()

    def _read_complete_lines(self, print_status: PrintStatus) -> list[bytes]:
        self._file.seek(0)
        *lines, last = self._file.read().split(b"\n")
        if last:
            try:
                json.loads(last)
            except ValueError:
                size = self._file.tell() - len(last)
                self._file.truncate(size)
                print_status(
                    f"{self._path}, line {len(lines) + 1}: the last line was not finished; its "
                    f"{len(last)} bytes are dropped, and its episode is played again."
                )
            else:
                self._file.write(b"\n")
                lines.append(last)
        return lines

    def _parse_line(self, line: bytes, location: str) -> EpisodeResult:
        try:
            entry = json.loads(line)
            result = RESULT_ADAPTER.validate_python(entry.pop("episode"))
        except (ValueError, TypeError, AttributeError, KeyError):
            allowed = f"one episode of the format {EPISODES_FORMAT!r}"
            raise ConfigurationError(
                f"{location}: {truncated_repr(line.decode(errors='replace'))} is not {allowed}."
            ) from None
        for name, mine in self._header.items():
            if entry.get(name) != mine:
                raise ConfigurationError(
                    f"{location}: {name} is {entry.get(name)!r}; this run has {mine!r}. Name "
                    "another file."
                )
        return result
