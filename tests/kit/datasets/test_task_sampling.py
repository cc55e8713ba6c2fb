"""Drawing tasks of a split, by process, rank and seed."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from openenv_kit.datasets import task_sampling
from openenv_kit.datasets.task_sampling import sample_task_reset_arguments
from openenv_kit.environment import get_environment
from openenv_kit.errors import UnknownNameError
from openenv_kit.trainers.trl import environment_class

DRAW = (
    "import json, random\n"
    "from openenv_kit.environment import get_environment\n"
    "from openenv_kit.datasets.task_sampling import sample_task_reset_arguments\n"
    "{prepare}\n"
    "environment = get_environment('firewatch')\n"
    "drawn = [sample_task_reset_arguments(environment)['index'] for _ in range(50)]\n"
    "print(json.dumps(drawn))\n"
)


@pytest.fixture(autouse=True)
def new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw as a process does that has not drawn before."""
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(task_sampling, "_index_iterators", {})


def draws_of(prepare: str = "", **variables: str) -> list[int]:
    """Return the tasks that another process draws."""
    done = subprocess.run(
        [sys.executable, "-c", DRAW.format(prepare=prepare)],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    drawn: list[int] = json.loads(done.stdout)
    return drawn


def test_tasks_drawn_by_processes_depend_on_the_seed() -> None:
    assert draws_of("random.seed(7)") == draws_of("random.seed(7)")
    assert draws_of() != draws_of()


def test_ranks_draw_disjoint_tasks_whatever_their_seeds() -> None:
    ranks = [
        draws_of(f"random.seed({seed})", RANK=str(rank), WORLD_SIZE="2")
        for rank, seed in enumerate((7, 8))
    ]
    assert set(ranks[0]).isdisjoint(ranks[1])


def test_forked_process_draws_other_tasks_than_its_parent() -> None:
    code = DRAW.format(
        # The parent draws when the child has ended, so that their lines do not mix.
        prepare=(
            "import os\n"
            "sample_task_reset_arguments(get_environment('firewatch'))\n"
            "if os.fork(): os.wait()"
        )
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
    )
    one, other = map(json.loads, done.stdout.splitlines())
    assert one != other


def test_every_task_is_drawn_once_before_one_is_drawn_again() -> None:
    firewatch = get_environment("firewatch")
    drawn = [
        sample_task_reset_arguments(firewatch, {"split": "validation"})["index"] for _ in range(600)
    ]
    assert sorted(drawn[:300]) == sorted(drawn[300:]) == list(range(300))
    assert drawn[:300] != drawn[300:]


def test_rank_without_a_world_draws_from_the_whole_split(monkeypatch: pytest.MonkeyPatch) -> None:
    firewatch = get_environment("firewatch")
    for rank, world_size in (("x", "2"), ("3", "2"), ("0", "9999"), ("1", "")):
        monkeypatch.setenv("RANK", rank)
        monkeypatch.setenv("WORLD_SIZE", world_size)
        task_sampling._index_iterators.clear()
        drawn = {sample_task_reset_arguments(firewatch)["index"] for _ in range(600)}
        assert drawn == set(range(600))


def test_unknown_level_or_split_is_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'rung_3'"):
        sample_task_reset_arguments(get_environment(), {"difficulty": "rnug_3"})
    with pytest.raises(UnknownNameError, match="Did you mean 'train'"):
        sample_task_reset_arguments(get_environment(), {"split": "trian"})
    with pytest.raises(UnknownNameError, match="Did you mean 'profile'"):
        environment_class(reset={"profil": "lean"})
