"""Checks that every rank of a TRL training plays whole groups, and so tasks of its own."""

from __future__ import annotations

from typing import Protocol

from openenv_kit.errors import ConfigurationError


class GroupArguments(Protocol):
    """The part of TRL's `GRPOConfig` that determines which rollouts a rank plays.

    Attributes:
        world_size: number of ranks.
        per_device_train_batch_size: rollouts in one forward and backward pass of a rank.
        steps_per_generation: passes for which rollouts are generated together; TRL sets it to
            `gradient_accumulation_steps` if it is not given.
        num_generations: rollouts of a group.
    """

    world_size: int
    per_device_train_batch_size: int
    steps_per_generation: int | None
    num_generations: int


def require_whole_groups_on_each_rank(args: GroupArguments) -> None:
    """Check that no group of rollouts is split between ranks.

    TRL draws one order of tasks for all ranks and gives each rank the next
    `per_device_train_batch_size * steps_per_generation` rollouts of it. If this number is not a
    multiple of `num_generations`, two ranks play the same task, and each of them has to generate
    its episode.

    Args:
        args: arguments of the training.

    Raises:
        ConfigurationError: groups would be split.
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
