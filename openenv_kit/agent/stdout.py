"""Standard output: START, STEP and END lines, and nothing else.

Evaluators parse these lines, so this module is their only writer. A task's lines stay together:
with one task at a time they are written as they happen, with several a task's whole block is
written when it ends.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import IO, Any

from openenv_kit.agent.redaction import Redact
from openenv_kit.agent.text_repair import replace_unencodable

MAX_ACTION_CHARACTERS = 220
"""Longest action of a STEP line, in characters."""
MAX_ERROR_CHARACTERS = 220
MAX_NAME_CHARACTERS = 80
MIN_SHOWN_SCORE = 0.01
"""Rewards and scores are shown in [0.01, 0.99], with two decimals."""


def format_one_line(value: object, max_characters: int) -> str:
    """Text on one line, cut to `limit` characters."""
    text = " ".join(str(value).split())
    text = "".join(each if each.isprintable() else "?" for each in text)
    return text if len(text) <= max_characters else f"{text[: max_characters - 1]}…"


def format_log_field(value: object) -> str:
    """Text without spaces, so that it is one field of a START line."""
    return format_one_line(value, MAX_ACTION_CHARACTERS).replace(" ", "_") or "-"


def format_tool_call(tool_name: str, arguments: Any) -> str:
    """`name(json args)`; arguments that were no JSON are shown as they came."""
    if not isinstance(arguments, str):
        arguments = json.dumps(arguments, separators=(",", ":"), ensure_ascii=False, default=str)
    # A model may call a tool anything; in a line it is one word.
    called = re.sub(r"[^\w.:-]", "_", tool_name)[:MAX_NAME_CHARACTERS] or "unnamed"
    return format_one_line(f"{called}({arguments})", MAX_ACTION_CHARACTERS)


@dataclass
class EvaluationLog:
    """Writes blocks to a stream, which is the process's standard output.

    Attributes:
        is_live: write each line at once; only right while no two tasks run at the same time.
        score_epsilon: scores are clamped to [epsilon, 1 − epsilon]; less than 0.01 cannot be shown.
        redact: cuts secrets out.
        is_reader_gone: whether the reader has left.
    """

    stream: IO[str]
    is_live: bool = True
    score_epsilon: float = MIN_SHOWN_SCORE
    redact: Redact = str
    is_reader_gone: bool = False

    def format_score(self, value: float) -> str:
        """A reward or score with two decimals, clamped."""
        lowest = max(MIN_SHOWN_SCORE, self.score_epsilon)
        return f"{min(max(value, lowest), 1.0 - lowest):.2f}"

    def start_task_log(self, task_id: str, benchmark: str, player_name: str) -> TaskLog:
        """A new block; writes its START line."""
        return TaskLog(
            self,
            f"[START] task={format_log_field(task_id)} env={format_log_field(benchmark)} "
            f"model={format_log_field(player_name)}",
        )

    def write_or_defer_lines(self, lines: list[str], *, is_last: bool) -> list[str]:
        """Write what may be written now; returns the lines that have to wait."""
        if not (self.is_live or is_last):
            return lines
        if not self.is_reader_gone:
            text = self.redact("".join(f"{line}\n" for line in lines))
            try:
                self.stream.write(replace_unencodable(text, getattr(self.stream, "encoding", None)))
                self.stream.flush()
            except BrokenPipeError:  # results are still worth having
                self.is_reader_gone = True
        return []


class TaskLog:
    """The lines of one task; `rewards` are those of its STEP lines."""

    def __init__(self, evaluation_log: EvaluationLog, start_line: str) -> None:
        self.rewards: list[float] = []
        self._evaluation_log = evaluation_log
        self._deferred_lines: list[str] = []
        self._write_line(start_line)

    def write_step(
        self, action: str, reward: float, is_done: bool, error: str | None = None
    ) -> None:
        """One STEP line."""
        self.rewards.append(reward)
        number = len(self.rewards)
        said = format_one_line(error, MAX_ERROR_CHARACTERS) if error else ""
        self._write_line(
            f"[STEP] step={number} action={format_one_line(action, MAX_ACTION_CHARACTERS)} "
            f"reward={self._evaluation_log.format_score(reward)} done={_format_boolean(is_done)} "
            f"error={said or 'null'}"
        )

    def write_end(self, is_success: bool, score: float) -> None:
        """The END line."""
        rewards = ",".join(self._evaluation_log.format_score(each) for each in self.rewards)
        self._write_line(
            f"[END] success={_format_boolean(is_success)} steps={len(self.rewards)} "
            f"score={self._evaluation_log.format_score(score)} rewards={rewards}",
            is_last=True,
        )

    def _write_line(self, line: str, *, is_last: bool = False) -> None:
        self._deferred_lines = self._evaluation_log.write_or_defer_lines(
            [*self._deferred_lines, line], is_last=is_last
        )


def _format_boolean(value: bool) -> str:
    return "true" if value else "false"
