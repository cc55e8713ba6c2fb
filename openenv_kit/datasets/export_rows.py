"""Task sets as data, in the layout that dataset hubs and trainers read.

A row is what `list_task_rows` makes of a task, and more:

```
{"task": "test-3", "level": "hard", "split": "test", "index": 3,
 "reset": {"split": "test", "index": 3},
 "prompt": [{"role": "system", "content": …}, {"role": "user", "content": …}],
 "difficulty": 0.6421, "panel": {"median_filter": 0.21, …},
 "group": "6a1f0c93d2e8", "tags": ["my_game", "level:hard"]}
```

Nothing in it is a seed or a label.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from statistics import fmean
from typing import Any

import yaml

from openenv_kit.datasets.split_rows import TaskRow, list_task_rows
from openenv_kit.environment import Environment, get_environment
from openenv_kit.errors import ConfigurationError
from openenv_kit.reply import observation_from_reply
from openenv_kit.rollouts.run_policy import run_policy, start_session
from openenv_kit.sealed_split import is_sealed_split

DATASET_CARD_FILENAME, TOOLS_FILENAME = "README.md", "tools.json"
GROUP_DIGEST_CHARACTERS = 12
TASKS_PER_PROCESS = 8
"""Tasks that a process is given at a time."""
COLUMN_DESCRIPTIONS = {
    "`task`": "name of the task",
    "`level`": "its level, where the environment tells it",
    "`split`, `index`": "where the task stands",
    "`reset`": "arguments of the reset that plays it",
    "`prompt`": f"the first messages that a model gets; `{TOOLS_FILENAME}` holds the tools",
    "`difficulty`": "1 − the panel's mean score, in [0, 1]: 0 if every scripted player of the "
    "panel solves the episode, 1 if none earns anything",
    "`panel`": "score of each player of the panel",
    "`group`": "the same for episodes of one configuration; a digest, because its words may be a "
    "part of the answer",
    "`tags`": "environment and level",
}
"""What the card says of each column."""


def iter_export_rows(
    environment: Environment,
    split: str,
    first: int = 0,
    count: int | None = None,
    extra_reset_arguments: Mapping[str, Any] | None = None,
    process_count: int = 1,
    level: str | None = None,
) -> Iterator[TaskRow]:
    """Rows of a split's tasks, in order.

    Args:
        environment: whose split.
        split: its name; a sealed one is refused.
        first: index of the first task.
        count: how many; None for all that follow.
        extra_reset_arguments: further arguments of every reset, such as a mode of play.
        process_count: processes.
        level: only tasks of this one.

    Raises:
        ConfigurationError: the split is sealed, or an argument is wrong.
    """
    if is_sealed_split(split):
        raise ConfigurationError(f"{split} is sealed: its tasks stay on their server.")
    rows = list_task_rows(split, first, count, environment.name, extra_reset_arguments, level)
    make = partial(complete_row, environment.name, dict(extra_reset_arguments or {}))
    if process_count == 1:
        yield from map(make, rows)
        return
    with ProcessPoolExecutor(process_count) as pool:
        yield from pool.map(make, rows, chunksize=TASKS_PER_PROCESS)


def complete_row(
    environment_name: str, extra_reset_arguments: Mapping[str, Any], row: TaskRow
) -> TaskRow:
    """A row of `list_task_rows` with what a dataset's row holds beside it."""
    chosen = get_environment(environment_name)
    reset = {"split": row["split"], "index": row["index"], **extra_reset_arguments}
    opening = observation_from_reply(start_session(chosen, reset)[1])
    scores = measure_baseline_scores(chosen, reset)
    level = chosen.result_labels(reset).get("level")
    return {
        **row,
        "reset": reset,
        "prompt": [
            {"role": "system", "content": chosen.system_prompt(opening)},
            {"role": "user", "content": chosen.tools.first_user_message(opening)},
        ],
        "difficulty": compute_difficulty(scores),
        "panel": dict(scores),
        "group": compute_group_digest(chosen, reset),
        "tags": [chosen.name, *([f"level:{level}"] if level else [])],
    }


def measure_baseline_scores(
    environment: Environment, reset_arguments: Mapping[str, Any]
) -> Mapping[str, float]:
    """Score of each policy of the environment's panel on an episode; of all where it names none.

    Raises:
        RefusedResetError: the reset was refused.
    """
    policies = environment.policies
    panel = [name for name, policy in policies.items() if policy.is_baseline]
    plays = ((name, start_session(environment, reset_arguments)) for name in panel or policies)
    return {
        name: run_policy(session, policies[name], reply).score for name, (session, reply) in plays
    }


def compute_difficulty(baseline_scores: Mapping[str, float]) -> float:
    """1 minus the panel's mean score, to four digits: 0 where every player solves the episode."""
    return round(1.0 - fmean(baseline_scores.values()), 4)


def compute_group_digest(environment: Environment, reset_arguments: Mapping[str, Any]) -> str:
    """The same for episodes of one configuration, such as a level and a family.

    It is a digest, because the configuration's own words may be a part of the answer.
    """
    text = json.dumps(dict(environment.result_labels(reset_arguments)), sort_keys=True)
    return hashlib.sha256(f"{environment.name}|{text}".encode()).hexdigest()[
        :GROUP_DIGEST_CHARACTERS
    ]


def get_chat_tools(environment: Environment, row: TaskRow) -> Sequence[Mapping[str, Any]]:
    """Chat schemas of the tools that a row's episode offers."""
    opening = observation_from_reply(start_session(environment, row["reset"])[1])
    return environment.tools.for_episode(opening).chat_tools


def build_dataset_card(
    environment: Environment, example_row_by_split: Mapping[str, TaskRow]
) -> str:
    """The dataset card, from a row of each split; each split is in a file of its name."""
    front = {
        "pretty_name": f"{environment.title} tasks",
        "language": ["en"],
        "license": "bsd-3-clause",
        "tags": ["reinforcement-learning", "agents", "openenv", environment.name],
        "configs": [
            {
                "config_name": "default",
                "data_files": [
                    {"split": name, "path": f"{name}.jsonl"} for name in example_row_by_split
                ],
            }
        ],
    }
    splits = "\n".join(
        f"- `{name}`: versions "
        + ", ".join(f"{n} {v}" for n, v in environment.versions.items())
        + f"; panel {', '.join(row['panel'])}"
        for name, row in example_row_by_split.items()
    )
    columns = "\n".join(f"| {name} | {meaning} |" for name, meaning in COLUMN_DESCRIPTIONS.items())
    return f"""---
{yaml.safe_dump(front, sort_keys=False).strip()}
---

# {environment.title}: tasks

{environment.description}

{splits}

| column | meaning |
|---|---|
{columns}

The environment makes an episode from its `reset`; no row holds a label or a seed. Scores and
difficulties hold for the versions above.
"""
