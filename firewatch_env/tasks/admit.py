"""Make the table of admitted attempts: `python -m firewatch_env.tasks.admit [size of a split]`."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from firewatch_env.tasks.book import SPLITS, attempt_named, split_task
from firewatch_env.tasks.certificate import certify
from firewatch_env.tasks.named import NAMED
from firewatch_env.tasks.places import NoPlace
from firewatch_env.tasks.task import Task

_MOST = 600


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


def main(size: int) -> None:
    """Write admitted.json beside this module."""
    table: dict[str, object] = {}
    total: Counter[str] = Counter()
    with ProcessPoolExecutor(2) as pool:
        found = dict(zip(NAMED, pool.map(_named, NAMED), strict=True))
        for task_id, (number, why) in found.items():
            print(task_id, number, dict(why), flush=True)
        table["named"] = {task_id: number for task_id, (number, _) in found.items()}
        for split in SPLITS:
            rows = list(pool.map(partial(_split, split), range(size), chunksize=5))
            table[split] = [number for number, _ in rows]
            for _, why in rows:
                total += why
            print(split, sum(n is None for n, _ in rows), dict(total), flush=True)
    path = Path(__file__).with_name("admitted.json")
    path.write_text(json.dumps(table, separators=(",", ":")) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 400)
