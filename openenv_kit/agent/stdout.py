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

from openenv_kit.agent.redaction import Clean
from openenv_kit.agent.text_repair import fit_encoding

MAX_ACTION = 220
"""Longest action of a STEP line, in characters."""
MAX_ERROR = 220
MAX_NAME = 80
LOWEST = 0.01
"""Rewards and scores are shown in [0.01, 0.99], with two decimals."""


def one_line(value: object, limit: int) -> str:
    """Text on one line, cut to `limit` characters."""
    text = " ".join(str(value).split())
    text = "".join(each if each.isprintable() else "?" for each in text)
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def word(value: object) -> str:
    """Text without spaces, so that it is one field of a START line."""
    return one_line(value, MAX_ACTION).replace(" ", "_") or "-"


def action_text(name: str, arguments: Any) -> str:
    """`name(json args)`; arguments that were no JSON are shown as they came."""
    if not isinstance(arguments, str):
        arguments = json.dumps(arguments, separators=(",", ":"), ensure_ascii=False, default=str)
    # A model may call a tool anything; in a line it is one word.
    called = re.sub(r"[^\w.:-]", "_", name)[:MAX_NAME] or "unnamed"
    return one_line(f"{called}({arguments})", MAX_ACTION)


@dataclass
class Lines:
    """Writes blocks to a stream, which is the process's standard output.

    Attributes:
        live: write each line at once; only right while no two tasks run at the same time.
        epsilon: scores are clamped to [epsilon, 1 − epsilon]; less than 0.01 cannot be shown.
        clean: cuts secrets out.
        cut_off: whether the reader has left.
    """

    stream: IO[str]
    live: bool = True
    epsilon: float = LOWEST
    clean: Clean = str
    cut_off: bool = False

    def number(self, value: float) -> str:
        """A reward or score with two decimals, clamped."""
        lowest = max(LOWEST, self.epsilon)
        return f"{min(max(value, lowest), 1.0 - lowest):.2f}"

    def block(self, task: str, benchmark: str, model: str) -> Block:
        """A new block; writes its START line."""
        return Block(self, f"[START] task={word(task)} env={word(benchmark)} model={word(model)}")

    def write(self, lines: list[str], *, last: bool) -> list[str]:
        """Write what may be written now; returns the lines that have to wait."""
        if not (self.live or last):
            return lines
        if not self.cut_off:
            text = self.clean("".join(f"{line}\n" for line in lines))
            try:
                self.stream.write(fit_encoding(text, getattr(self.stream, "encoding", None)))
                self.stream.flush()
            except BrokenPipeError:  # results are still worth having
                self.cut_off = True
        return []


class Block:
    """The lines of one task; `rewards` are those of its STEP lines."""

    def __init__(self, lines: Lines, start: str) -> None:
        self.rewards: list[float] = []
        self._lines = lines
        self._waiting: list[str] = []
        self._add(start)

    def step(self, action: str, reward: float, done: bool, error: str | None = None) -> None:
        """One STEP line."""
        self.rewards.append(reward)
        number = len(self.rewards)
        said = one_line(error, MAX_ERROR) if error else ""
        self._add(
            f"[STEP] step={number} action={one_line(action, MAX_ACTION)} "
            f"reward={self._lines.number(reward)} done={_bool(done)} error={said or 'null'}"
        )

    def end(self, success: bool, score: float) -> None:
        """The END line."""
        rewards = ",".join(self._lines.number(each) for each in self.rewards)
        self._add(
            f"[END] success={_bool(success)} steps={len(self.rewards)} "
            f"score={self._lines.number(score)} rewards={rewards}",
            last=True,
        )

    def _add(self, line: str, *, last: bool = False) -> None:
        self._waiting = self._lines.write([*self._waiting, line], last=last)


def _bool(value: bool) -> str:
    return "true" if value else "false"
