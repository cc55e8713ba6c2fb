"""Stores the results of the search for public tasks: `python -m firewatch_next.tasks.store_draws`.

A reset of a public task then takes one attempt and no trial run. Run it again whenever a fault
type, the simulation or the drawing of tasks has changed; it draws every task anew.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace

from firewatch_next.certificate import certify_task
from firewatch_next.tasks.draw_task import draw_task
from firewatch_next.tasks.levels import RUNG_LEVEL_NAMES
from firewatch_next.tasks.named_tasks import list_playable_names, make_named_spec
from firewatch_next.tasks.splits import SPLITS, STORED_DRAWS_PATH, VERSION, make_split_spec
from firewatch_next.tasks.task import StoredDraw, TaskSpec

PUBLIC_SPLITS = ("train", "validation", "test")


def list_public_specs(max_index: int | None = None) -> list[TaskSpec]:
    """Return the named tasks and those of the public splits, without stored results.

    Args:
        max_index: largest index of a split's tasks; None for all.
    """
    specs = [make_named_spec(name) for name in list_playable_names()]
    rungs = [f"{split}_{rung}" for rung in RUNG_LEVEL_NAMES for split in PUBLIC_SPLITS]
    for split in (*PUBLIC_SPLITS, *rungs):
        size = SPLITS.size(split)
        count = size if max_index is None else min(size, max_index + 1)
        specs += [make_split_spec(split, index) for index in range(count)]
    return [replace(spec, stored=None) for spec in specs]


def find_certified_draw(spec: TaskSpec) -> StoredDraw:
    """Return the first attempt whose task is certified.

    Raises:
        GenerationError: no attempt is.
    """
    attempt = 0
    while True:
        task = draw_task(spec, attempt)
        if certify_task(task).is_valid:
            return task.draw
        attempt = task.draw.attempt + 1


def main() -> None:
    """Search for every public task and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--max-index", type=int, help="largest index of each split; default: all")
    options = parser.parse_args()
    draws = {}
    for spec in list_public_specs(options.max_index):
        draw = find_certified_draw(spec)
        draws[spec.task_id] = [draw.attempt, list(draw.sizes)]
    lines = ",\n".join(f'"{name}": {json.dumps(draw)}' for name, draw in sorted(draws.items()))
    STORED_DRAWS_PATH.write_text(f'{{"version": "{VERSION}", "draws": {{\n{lines}\n}}}}\n')


if __name__ == "__main__":
    main()
