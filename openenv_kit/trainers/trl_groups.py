"""Checks that each rank of a TRL training run plays whole groups of rollouts."""

from __future__ import annotations

from typing import Protocol

from openenv_kit.errors import ConfigurationError


class GroupArguments(Protocol):
    """The part of TRL's `GRPOConfig` that determines which rollouts a rank plays.

    Attributes:
        world_size: number of ranks.
        per_device_train_batch_size: number of rollouts in one forward and backward pass of a rank.
        steps_per_generation: number of passes whose rollouts are generated together; TRL sets it to
            `gradient_accumulation_steps` if it is not given.
        num_generations: number of rollouts in a group.
    """

    world_size: int
    per_device_train_batch_size: int
    steps_per_generation: int | None
    num_generations: int


def require_whole_groups_on_each_rank(args: GroupArguments) -> None:
    """Check that no group of rollouts is split between ranks.

    TRL shuffles the tasks once for all ranks. The number of consecutive rollouts that it assigns to
    each rank is `per_device_train_batch_size * steps_per_generation`. If this number is not a
    multiple of `num_generations`, two ranks play the same task, and both of them have to generate
    its episode.

    Args:
        args: TRL's training arguments.

    Raises:
        ConfigurationError: a group would be split between ranks.
    """
    passes = args.steps_per_generation or 1
    rollouts = args.per_device_train_batch_size * passes
    if args.world_size == 1 or rollouts % args.num_generations == 0:
        return
    factor = f" times steps_per_generation ({passes})" if passes > 1 else ""
    raise ConfigurationError(
        f"per_device_train_batch_size ({args.per_device_train_batch_size}){factor} is {rollouts}; "
        f"allowed with {args.world_size} ranks: a multiple of num_generations "
        f"({args.num_generations}). Otherwise ranks share groups and play the same tasks. Use "
        f"per_device_train_batch_size={_find_next_multiple(args)}."
    )


def _find_next_multiple(args: GroupArguments) -> int:
    """Return the smallest multiple of the group size that is not below the batch size."""
    groups = -(-args.per_device_train_batch_size // args.num_generations)
    return groups * args.num_generations
