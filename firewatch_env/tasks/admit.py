"""Make the table of admitted tasks: `python -m firewatch_env.tasks.admit [size] [--again]`.

Without --again only what is missing is looked for: a longer table begins like the shorter one.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from firewatch_env.tasks.book import SPLITS, attempt_named, split_task
from firewatch_env.tasks.certificate import certify
from firewatch_env.tasks.named import NAMED
from firewatch_env.tasks.places import NoPlace
from firewatch_env.tasks.task import Task

_MOST = 600
Table = dict[str, Any]


def first_admitted(
    attempt: Callable[[int], Task], *, thorough: bool = False
) -> tuple[int | None, Counter[str]]:
    """The first attempt that passes its certificate, and why those before it did not."""
    why: Counter[str] = Counter()
    for number in range(_MOST):
        try:
            task = attempt(number)
        except NoPlace:
            why["no place"] += 1
            continue
        certificate = certify(task, thorough=thorough)
        if certificate.passed:
            return number, why
        why[certificate.failed[0]] += 1
    return None, why


def _named(task_id: str) -> tuple[int | None, Counter[str]]:
    named = NAMED[task_id]
    return first_admitted(lambda n: attempt_named(named, named.seed, n), thorough=True)


def _split(split: str, index: int) -> tuple[int | None, Counter[str]]:
    return first_admitted(lambda n: split_task(split, index, n))


def main(size: int, *, again: bool) -> None:
    """Bring admitted.json, beside this module, up to a size.

    Args:
        size: tasks in each split.
        again: leave nothing of the present table standing.
    """
    path = Path(__file__).with_name("admitted.json")
    table: Table = json.loads(path.read_text(encoding="utf-8")) if not again else {}
    with ProcessPoolExecutor(2) as pool:
        if table.get("named") is None:
            found = dict(zip(NAMED, pool.map(_named, NAMED), strict=True))
            for task_id, (number, why) in found.items():
                print(task_id, number, dict(why), flush=True)
            table["named"] = {task_id: number for task_id, (number, _) in found.items()}
        for split in SPLITS:
            rows: list[int | None] = (table.get(split, []) + [None] * size)[:size]
            left = [index for index, number in enumerate(rows) if number is None]
            why_not: Counter[str] = Counter()
            for index, (number, why) in zip(
                left, pool.map(partial(_split, split), left, chunksize=5), strict=True
            ):
                rows[index] = number
                why_not += why
            table[split] = rows
            path.write_text(json.dumps(table, separators=(",", ":")) + "\n", encoding="utf-8")
            print(split, f"{rows.count(None)} without a task", dict(why_not), flush=True)


if __name__ == "__main__":
    given = [argument for argument in sys.argv[1:] if argument != "--again"]
    main(int(given[0]) if given else 400, again="--again" in sys.argv)
