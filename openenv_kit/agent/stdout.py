"""Writes the START, STEP and END lines to standard output.

Evaluators parse these lines, so nothing else is written there. The lines of a task stay together:
if tasks run one at a time, each line is written immediately; if several tasks run concurrently, all
lines of a task are written when it ends.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import IO, Any, TypeAlias

from openenv_kit.agent.redaction import Redact
from openenv_kit.agent.text_repair import replace_unencodable_characters

MAX_ACTION_CHARACTERS = 220
"""Longest action in a STEP line, in characters."""
MAX_ERROR_CHARACTERS = 220
"""Longest error in a STEP line, in characters."""
MAX_NAME_CHARACTERS = 80
"""Longest name of a tool in a STEP line, in characters."""
MIN_SHOWN_SCORE = 0.01
"""Rewards and scores are written with two decimals and clamped to [0.01, 0.99]."""
DeferredLines: TypeAlias = list[str]
"""Lines of a task that have to be written later, with its next or last line."""


def format_one_line(value: object, max_characters: int) -> str:
    """Format a value as one line of printable text, truncated to `max_characters`."""
    text = " ".join(str(value).split())
    text = "".join(character if character.isprintable() else "?" for character in text)
    return text if len(text) <= max_characters else f"{text[: max_characters - 1]}…"


def format_without_spaces(value: object) -> str:
    """Format a value without spaces, for a field of a START line."""
    return format_one_line(value, MAX_ACTION_CHARACTERS).replace(" ", "_") or "-"


def format_action_field(tool_name: str, arguments: Any) -> str:
    """Format a tool call for a STEP line as `name(arguments as JSON)`.

    Args:
        tool_name: name of the tool, as the model wrote it.
        arguments: arguments as a JSON value; a string is written unchanged.
    """
    if not isinstance(arguments, str):
        arguments = json.dumps(arguments, separators=(",", ":"), ensure_ascii=False, default=str)
    # Models may invent tool names, but the name in a STEP line must be a single word.
    name = re.sub(r"[^\w.:-]", "_", tool_name)[:MAX_NAME_CHARACTERS] or "unnamed"
    return format_one_line(f"{name}({arguments})", MAX_ACTION_CHARACTERS)


@dataclass
class EvaluationLog:
    """Writes the lines of all tasks to a stream, usually standard output.

    Attributes:
        stream: the stream.
        is_live: whether to write each line immediately; False if tasks run concurrently.
        score_epsilon: scores are clamped to [epsilon, 1 − epsilon]; at least 0.01.
        redact: removes secrets from the lines.
        is_reader_gone: whether the reader has closed the stream.
    """

    stream: IO[str]
    is_live: bool = True
    score_epsilon: float = MIN_SHOWN_SCORE
    redact: Redact = str
    is_reader_gone: bool = False

    def format_clamped_score(self, value: float) -> str:
        """Format a reward or score with two decimals, clamped to the range of `score_epsilon`."""
        min_score = max(MIN_SHOWN_SCORE, self.score_epsilon)
        return f"{min(max(value, min_score), 1.0 - min_score):.2f}"

    def start_task_log(self, task_id: str, benchmark: str, player_name: str) -> TaskLog:
        """Write the START line of a task and return the writer of its other lines."""
        return TaskLog(
            self,
            f"[START] task={format_without_spaces(task_id)} env={format_without_spaces(benchmark)} "
            f"model={format_without_spaces(player_name)}",
        )

    def write_or_defer_lines(self, unwritten_lines: list[str], *, is_last: bool) -> DeferredLines:
        """Write the lines of a task, or return them if they have to be written later.

        Args:
            unwritten_lines: lines of one task that were not written yet.
            is_last: whether the last of these lines is the task's END line.
        """
        if not (self.is_live or is_last):
            return unwritten_lines
        if not self.is_reader_gone:
            text = self.redact("".join(f"{line}\n" for line in unwritten_lines))
            try:
                self.stream.write(
                    replace_unencodable_characters(text, getattr(self.stream, "encoding", None))
                )
                self.stream.flush()
            except BrokenPipeError:  # the run continues, because it also writes a results file
                self.is_reader_gone = True
        return []


class TaskLog:
    """Writes the lines of one task.

    Attributes:
        rewards: reward of each STEP line.
    """

    def __init__(self, evaluation_log: EvaluationLog, start_line: str) -> None:
        self.rewards: list[float] = []
        self._evaluation_log = evaluation_log
        self._deferred_lines: DeferredLines = []
        self._write_or_defer_line(start_line)

    def write_step_line(
        self, action: str, reward: float, is_done: bool, error: str | None = None
    ) -> None:
        """Write the STEP line of an action."""
        self.rewards.append(reward)
        error_text = format_one_line(error, MAX_ERROR_CHARACTERS) if error else ""
        reward_text = self._evaluation_log.format_clamped_score(reward)
        self._write_or_defer_line(
            f"[STEP] step={len(self.rewards)} "
            f"action={format_one_line(action, MAX_ACTION_CHARACTERS)} "
            f"reward={reward_text} done={_format_boolean(is_done)} "
            f"error={error_text or 'null'}"
        )

    def write_end_line(self, is_success: bool, score: float) -> None:
        """Write the END line."""
        rewards = ",".join(
            self._evaluation_log.format_clamped_score(reward) for reward in self.rewards
        )
        self._write_or_defer_line(
            f"[END] success={_format_boolean(is_success)} steps={len(self.rewards)} "
            f"score={self._evaluation_log.format_clamped_score(score)} rewards={rewards}",
            is_last=True,
        )

    def _write_or_defer_line(self, line: str, *, is_last: bool = False) -> None:
        self._deferred_lines = self._evaluation_log.write_or_defer_lines(
            [*self._deferred_lines, line], is_last=is_last
        )


def _format_boolean(value: bool) -> str:
    return "true" if value else "false"
