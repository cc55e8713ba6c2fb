"""Exports tasks as datasets in the layout that dataset hubs and trainers expect.

A row has the columns of `list_task_rows` and additional columns:

```
{"task": "test-3", "level": "hard", "split": "test", "index": 3,
 "reset": {"split": "test", "index": 3},
 "prompt": [{"role": "system", "content": …}, {"role": "user", "content": …}],
 "difficulty": 0.6421, "panel": {"median_filter": 0.21, …},
 "group": "6a1f0c93d2e8", "tags": ["my_game", "level:hard"]}
```

A row contains neither a seed nor a label.
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

DATASET_CARD_FILENAME = "README.md"
TOOLS_FILENAME = "tools.json"
GROUP_DIGEST_CHARACTERS = 12
TASKS_PER_PROCESS = 8
"""Number of tasks that are sent to a process at a time."""
COLUMN_DESCRIPTIONS = {
    "`task`": "name of the task",
    "`level`": "level of the task, if the environment has levels",
    "`split`, `index`": "split of the task, and its index in it",
    "`reset`": "arguments of the reset that starts the task",
    "`prompt`": f"first messages of a model's conversation; the tools are in `{TOOLS_FILENAME}`",
    "`difficulty`": "1 − the mean score of the baselines, in [0, 1]: 0 if every baseline solves "
    "the episode, 1 if all score 0",
    "`panel`": "score of each baseline",
    "`group`": "the same for all episodes of one configuration; a digest, because the "
    "configuration may reveal a part of the answer",
    "`tags`": "environment and level",
}
"""Description of each column on the dataset card."""


def iter_export_rows(
    environment: Environment,
    split: str,
    first: int = 0,
    count: int | None = None,
    extra_reset_arguments: Mapping[str, Any] | None = None,
    process_count: int = 1,
    level: str | None = None,
) -> Iterator[TaskRow]:
    """Yield a row for each task of a split, in order.

    Args:
        environment: the environment.
        split: name of the split.
        first: number of the first task, from 0.
        count: number of tasks; None for all remaining tasks.
        extra_reset_arguments: additional arguments of every reset, such as `profile`.
        process_count: number of processes that compute rows.
        level: name of the level whose tasks are exported; None for all levels.

    Raises:
        ConfigurationError: the split is sealed, or an argument is wrong.
    """
    if is_sealed_split(split):
        raise ConfigurationError(f"The split {split} is sealed and cannot be exported.")
    rows = list_task_rows(split, first, count, environment.name, extra_reset_arguments, level)
    complete = partial(
        add_prompt_and_score_columns, environment.name, dict(extra_reset_arguments or {})
    )
    if process_count == 1:
        yield from map(complete, rows)
        return
    with ProcessPoolExecutor(process_count) as pool:
        yield from pool.map(complete, rows, chunksize=TASKS_PER_PROCESS)


def add_prompt_and_score_columns(
    environment_name: str, extra_reset_arguments: Mapping[str, Any], row: TaskRow
) -> TaskRow:
    """Return a row of `list_task_rows` with the additional columns of an exported row.

    Args:
        environment_name: name of the environment.
        extra_reset_arguments: additional arguments of the reset.
        row: the row of `list_task_rows`.
    """
    environment = get_environment(environment_name)
    reset = {"split": row["split"], "index": row["index"], **extra_reset_arguments}
    reset_observation = observation_from_reply(start_session(environment, reset).reset_reply)
    scores = measure_baseline_scores(environment, reset)
    level = environment.build_result_labels(reset).get("level")
    return {
        **row,
        "reset": reset,
        "prompt": [
            {"role": "system", "content": environment.build_system_prompt(reset_observation)},
            {"role": "user", "content": environment.tools.first_user_message(reset_observation)},
        ],
        "difficulty": compute_difficulty(scores),
        "panel": dict(scores),
        "group": compute_result_labels_digest(environment, reset),
        "tags": [environment.name, *([f"level:{level}"] if level else [])],
    }


def measure_baseline_scores(
    environment: Environment, reset_arguments: Mapping[str, Any]
) -> Mapping[str, float]:
    """Run each baseline on an episode and return its score, by the policy's name.

    If the environment has no baselines, all its policies are run.

    Raises:
        RefusedResetError: the reset was rejected.
    """
    policies = environment.policies
    baselines = [name for name, policy in policies.items() if policy.is_baseline]
    scores = {}
    for name in baselines or policies:
        session, reset_reply = start_session(environment, reset_arguments)
        scores[name] = run_policy(session, policies[name], reset_reply).score
    return scores


def compute_difficulty(baseline_scores: Mapping[str, float]) -> float:
    """Return the difficulty: 1 minus the mean baseline score, rounded to four digits."""
    return round(1.0 - fmean(baseline_scores.values()), 4)


def compute_result_labels_digest(
    environment: Environment, reset_arguments: Mapping[str, Any]
) -> str:
    """Return a digest of an episode's result labels, which is equal for similar episodes.

    The labels are hashed because some of them, such as the family, reveal part of the answer.
    """
    labels = json.dumps(dict(environment.build_result_labels(reset_arguments)), sort_keys=True)
    digest = hashlib.sha256(f"{environment.name}|{labels}".encode()).hexdigest()
    return digest[:GROUP_DIGEST_CHARACTERS]


def build_chat_tools_of_row(environment: Environment, row: TaskRow) -> Sequence[Mapping[str, Any]]:
    """Return the tool definitions of a row's episode in the format of chat-completion endpoints."""
    reset_reply = start_session(environment, row["reset"]).reset_reply
    return environment.tools.select_for_episode(observation_from_reply(reset_reply)).chat_tools


def build_dataset_card(
    environment: Environment, example_row_by_split: Mapping[str, TaskRow]
) -> str:
    """Return the Markdown text of the dataset card, with its YAML header.

    Args:
        environment: the environment.
        example_row_by_split: one row of each exported split. The rows of a split are in the file
            `<split>.jsonl`.
    """
    metadata = {
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
        + ", ".join(f"{part} {version}" for part, version in environment.versions.items())
        + f"; baselines {', '.join(row['panel'])}"
        for name, row in example_row_by_split.items()
    )
    columns = "\n".join(
        f"| {name} | {description} |" for name, description in COLUMN_DESCRIPTIONS.items()
    )
    return f"""---
{yaml.safe_dump(metadata, sort_keys=False).strip()}
---

# {environment.title}: tasks

{environment.description}

{splits}

| column | meaning |
|---|---|
{columns}

The environment generates an episode from its `reset`. No row contains a label or a seed. Scores and
difficulties are valid for the versions above.
"""
