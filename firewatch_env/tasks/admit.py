"""Make the table of admitted tasks: `python -m firewatch_env.tasks.admit [size]`.

Every attempt in the table is certified anew and stays if it passes; another is looked for only
where it does not. So a task that a change of drawing leaves alone keeps its bytes, a longer table
begins like the shorter one, and nothing is shipped on the word of earlier code.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import chain
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
    attempt: Callable[[int], Task], standing: int | None, *, thorough: bool = False
) -> tuple[int | None, Counter[str]]:
    """The standing attempt or else the first one that passes its certificate.

    Also says why those that were tried before it did not.
    """
    why: Counter[str] = Counter()
    for number in chain(() if standing is None else (standing,), range(_MOST)):
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


def _named(task_id: str, standing: int | None) -> tuple[int | None, Counter[str]]:
    named = NAMED[task_id]
    return first_admitted(lambda n: attempt_named(named, named.seed, n), standing, thorough=True)


def _split(split: str, index: int, standing: int | None) -> tuple[int | None, Counter[str]]:
    return first_admitted(lambda n: split_task(split, index, n), standing)


def main(size: int) -> None:
    """Bring admitted.json, beside this module, up to a size; say what became different.

    Args:
        size: tasks in each split.
    """
    path = Path(__file__).with_name("admitted.json")
    table: Table = json.loads(path.read_text(encoding="utf-8"))
    with ProcessPoolExecutor() as pool:
        stood = [table["named"].get(task_id) for task_id in NAMED]
        found = pool.map(_named, NAMED, stood)
        table["named"] = dict(zip(NAMED, _told("named", stood, found), strict=True))
        for split in SPLITS:
            stood = (table.get(split, []) + [None] * size)[:size]
            found = pool.map(partial(_split, split), range(size), stood, chunksize=5)
            table[split] = _told(split, stood, found)
            path.write_text(json.dumps(table, separators=(",", ":")) + "\n", encoding="utf-8")


def _told(
    group: str, stood: list[int | None], found: Iterable[tuple[int | None, Counter[str]]]
) -> list[int | None]:
    """The attempts found for a group, printed where they are not those that stood."""
    rows: list[int | None] = []
    for before, (number, why) in zip(stood, found, strict=True):
        if number != before:
            print(group, len(rows), f"{before} → {number}", dict(why), flush=True)
        rows.append(number)
    print(group, f"{rows.count(None)} of {len(rows)} without a task", flush=True)
    return rows


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 400)
