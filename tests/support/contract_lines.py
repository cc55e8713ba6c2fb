"""Parser of the output of `inference.py`, written from the public contract alone."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

START = re.compile(r"\[START\] task=(?P<task>\S+) env=(?P<env>\S+) model=(?P<model>\S.*)")
STEP = re.compile(
    r"\[STEP\] step=(?P<step>[1-9]\d*) action=(?P<action>[^\s(]+\(.*) "
    r"reward=(?P<reward>\d\.\d\d) done=(?P<done>true|false) error=(?P<error>.+)"
)
END = re.compile(
    r"\[END\] success=(?P<success>true|false) steps=(?P<steps>\d+) "
    r"score=(?P<score>\d\.\d\d) rewards=(?P<rewards>(\d\.\d\d(,\d\.\d\d)*)?)"
)


@dataclass
class Step:
    action: str
    reward: float
    done: bool
    error: str | None


@dataclass
class Block:
    task: str
    env: str
    model: str
    steps: list[Step] = field(default_factory=list)
    success: bool = False
    score: float = -1.0


def parse_blocks(text: str) -> list[Block]:
    """Return the blocks of an output; raise AssertionError with the first wrong line."""
    assert text == "" or text.endswith("\n"), "the last line is not ended"
    blocks: list[Block] = []
    current: Block | None = None
    for line in text.splitlines():
        if found := START.fullmatch(line):
            assert current is None, f"a block starts inside another: {line}"
            current = Block(found["task"], found["env"], found["model"])
        elif found := STEP.fullmatch(line):
            assert current is not None, f"a step outside a block: {line}"
            current.steps.append(_step(found, len(current.steps) + 1, line))
        elif found := END.fullmatch(line):
            assert current is not None, f"an end without a start: {line}"
            _end(current, found, line)
            blocks.append(current)
            current = None
        else:
            raise AssertionError(f"neither START, STEP nor END: {line!r}")
    assert current is None, f"the block of {current} has no END"
    return blocks


def _step(found: re.Match[str], number: int, line: str) -> Step:
    assert int(found["step"]) == number, f"expected step {number}: {line}"
    assert len(found["action"]) <= 220, f"the action is too long: {line}"
    reward = float(found["reward"])
    assert 0.01 <= reward <= 0.99, f"the reward is not clamped: {line}"
    error = None if found["error"] == "null" else found["error"]
    return Step(found["action"], reward, found["done"] == "true", error)


def _end(block: Block, found: re.Match[str], line: str) -> None:
    rewards = [float(each) for each in found["rewards"].split(",") if each]
    assert int(found["steps"]) == len(block.steps), f"steps are miscounted: {line}"
    assert rewards == [step.reward for step in block.steps], f"rewards differ: {line}"
    block.success, block.score = found["success"] == "true", float(found["score"])
    assert 0.01 <= block.score <= 0.99, f"the score is not clamped: {line}"
