"""`metric-tracker collect`: scripted runs as supervised fine-tuning data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from openenv_kit.cli.common import EnvironmentOption, LevelOption, ResetOption
from openenv_kit.datasets.split_rows import list_task_rows, write_rows
from openenv_kit.environment import get_environment
from openenv_kit.errors import require_name
from openenv_kit.reset_arguments import parse_reset_argument

SFT_FILENAME = "sft.jsonl"


def collect(
    out: Annotated[Path, typer.Argument(help="Folder for results.jsonl and sft.jsonl.")],
    split: Annotated[str, typer.Option(help="Split to play.")] = "train",
    first: Annotated[int, typer.Option(min=0, help="First task of the split.")] = 0,
    count: Annotated[int, typer.Option(min=1, help="Number of episodes.")] = 100,
    level: LevelOption = None,
    policy: Annotated[str, typer.Option(help="Scripted policy that plays.")] = "reference",
    reset: ResetOption = None,
    base_url: Annotated[
        str | None, typer.Option(help="Address of a server to play on; default: in process.")
    ] = None,
    minimum_reward: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Lowest score of an SFT example.")
    ] = 1.0,
    environment: EnvironmentOption = None,
) -> None:
    """Play a scripted policy and write its episodes, and the good ones as chats with tool calls.

    Run the same command again to resume a run that was stopped. A folder that holds episodes of
    another policy, split or reset is refused.
    """
    from openenv_kit.trainers.openenv_harness import collect_episodes as play_rows
    from openenv_kit.trainers.openenv_harness import iter_sft_examples

    console = Console()
    chosen = get_environment(environment)
    require_name("policy", policy, chosen.policies)
    further = dict(map(parse_reset_argument, reset or ()))
    rows = list_task_rows(split, first, count, environment, further, level)
    result = play_rows(out, rows, policy=policy, base_url=base_url, environment=environment)
    written = write_rows(out / SFT_FILENAME, iter_sft_examples(out, minimum_reward, environment))
    console.print(
        f"{result.num_collected} episodes collected, {result.num_skipped} were already there, "
        f"{result.num_failed} failed; mean score {result.avg_reward:.4f}; "
        f"{written} examples in {out / SFT_FILENAME}."
    )
    raise typer.Exit(1 if result.num_failed else 0)
