"""`metric-tracker collect`: writes rollouts of a scripted policy as fine-tuning data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from openenv_kit.cli.common import (
    EnvironmentOption,
    LevelOption,
    ProductOption,
    ResetOption,
    exit_with_result,
)
from openenv_kit.datasets.split_rows import list_task_rows, write_rows
from openenv_kit.environment import get_environment
from openenv_kit.errors import require_name
from openenv_kit.own_data.product_argument import get_product_reset_arguments
from openenv_kit.reset_arguments import parse_reset_argument

SFT_FILENAME = "sft.jsonl"


def collect(
    out: Annotated[Path, typer.Argument(help="Folder to write results.jsonl and sft.jsonl to.")],
    split: Annotated[str, typer.Option(help="Split to play.")] = "train",
    first: Annotated[int, typer.Option(min=0, help="First task of the split.")] = 0,
    count: Annotated[int, typer.Option(min=1, help="Number of episodes.")] = 100,
    level: LevelOption = None,
    policy: Annotated[str, typer.Option(help="Name of the scripted policy.")] = "reference",
    reset: ResetOption = None,
    base_url: Annotated[
        str | None,
        typer.Option(help="Address of a server. Default: play in this process."),
    ] = None,
    minimum_reward: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Minimum score of an example, from 0 to 1.")
    ] = 1.0,
    product: ProductOption = None,
    environment: EnvironmentOption = None,
) -> None:
    """Play episodes with a scripted policy, and write the best ones as fine-tuning examples.

    Repeat the command to resume an interrupted run. The command fails if the folder contains
    episodes of another policy, split or reset.
    """
    from openenv_kit.trainers.openenv_harness import collect_episodes, iter_sft_examples

    environment_object = get_environment(environment)
    require_name("policy", policy, environment_object.policies)
    extra_reset_arguments = {
        **dict(map(parse_reset_argument, reset or ())),
        **get_product_reset_arguments(environment_object, product),
    }
    rows = list_task_rows(split, first, count, environment, extra_reset_arguments, level)
    result = collect_episodes(out, rows, policy=policy, base_url=base_url, environment=environment)
    written = write_rows(out / SFT_FILENAME, iter_sft_examples(out, minimum_reward, environment))
    Console().print(
        f"{result.num_collected} episodes collected, {result.num_skipped} already collected, "
        f"{result.num_failed} failed; mean score {result.avg_reward:.4f}; "
        f"{written} examples in {out / SFT_FILENAME}."
    )
    exit_with_result(has_failed=result.num_failed > 0)
