"""The check that ranks of a TRL training play whole groups."""

from __future__ import annotations

import re

import pytest

from openenv_kit.errors import ConfigurationError
from openenv_kit.trainers.trl_groups import require_whole_groups_on_each_rank
from support.trainer_stand_ins import arguments


@pytest.mark.parametrize(
    ("world_size", "batch", "passes"),
    [(2, 8, 1), (2, 16, 1), (6, 2, 4), (1, 2, 1), (2, 8, None)],
)
def test_require_whole_groups_divisible_batch_is_accepted(
    world_size: int, batch: int, passes: int | None
) -> None:
    require_whole_groups_on_each_rank(
        arguments(
            world_size=world_size, per_device_train_batch_size=batch, steps_per_generation=passes
        )
    )


@pytest.mark.parametrize(
    ("batch", "passes", "said"),
    [
        (4, 1, "per_device_train_batch_size (4) is 4; allowed with 2 ranks"),
        (12, 1, "Use per_device_train_batch_size=16."),
        (3, 2, "per_device_train_batch_size (3) times steps_per_generation (2) is 6"),
        (4, None, "a multiple of num_generations (8)"),
    ],
)
def test_require_whole_groups_indivisible_batch_is_error(
    batch: int, passes: int | None, said: str
) -> None:
    given = arguments(world_size=2, per_device_train_batch_size=batch, steps_per_generation=passes)
    with pytest.raises(ConfigurationError, match=re.escape(said)):
        require_whole_groups_on_each_rank(given)
