"""Train, validation and test splits, and a sealed one that public code cannot regenerate.

A task is a position in a split; its seed is a hash of the split's name and the position. The
two highest bits of a seed name the split, so no two splits share an episode, by construction.
Every block of consecutive tasks holds each stratum (family × difficulty × count, none
included) once, in an order of its own.

The sealed split's hashes are keyed with a secret salt from the server's environment. Its
commitment can be published before anybody plays and checked when the salt is revealed.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Any

from metric_tracker_rl.engine.config import SCENARIO_FAMILIES, EpisodeConfig
from metric_tracker_rl.engine.levels import LEVELS
from openenv_kit.errors import require_integer, require_name
from openenv_kit.trust.sealing import has_salt, sealed_salt

SEALED = "sealed"
COUNTS = (0, 1, 2, 3, 4, 5)
"""Planned anomalies of the strata; the zero-anomaly episodes' right report is empty."""
PREVIEW = 100
"""Tasks that `list_tasks` shows of a split."""
DOMAIN = "metric-tracker-split/1"

STRATA: tuple[tuple[str, str, int], ...] = tuple(product(SCENARIO_FAMILIES, LEVELS, COUNTS))
"""(family, difficulty, count) of every stratum."""

_BLOCKS = {"train": 100, "validation": 12, "test": 12, SEALED: 12}
_CODES = {name: code for code, name in enumerate(_BLOCKS)}
_SEED_BITS = 62


@dataclass(frozen=True)
class SplitTask:
    """One task of a split.

    Attributes:
        task_id: `<split>-<index>`.
        split: name of the split.
        index: position in it, from 0.
        config: the episode's configuration; of a sealed task it stays on the server.
    """

    task_id: str
    split: str
    index: int
    config: EpisodeConfig

    def reset_arguments(self) -> dict[str, Any]:
        """What to give to reset to play this task."""
        return {"split": self.split, "index": self.index}

    def as_dict(self) -> dict[str, Any]:
        """What may be told about the task: never its seed, family or number of anomalies."""
        return {
            "id": self.task_id,
            "split": self.split,
            "index": self.index,
            "difficulty": self.config.difficulty,
            "reset": self.reset_arguments(),
        }


def list_splits(environ: Mapping[str, str] | None = None) -> list[str]:
    """Names of the splits that can be played; the sealed one only where a salt is set."""
    sealed = has_salt(environ)
    return [name for name in _BLOCKS if name != SEALED or sealed]


def num_tasks(split: str) -> int:
    """Number of tasks of a split.

    Raises:
        UnknownNameError: there is no such split; names the nearest.
    """
    return _BLOCKS[require_name("split", split, _BLOCKS)] * len(STRATA)


def get_task(split: str, index: int, environ: Mapping[str, str] | None = None) -> SplitTask:
    """Task of a split by its position.

    Raises:
        UnknownNameError: there is no such split.
        InvalidValueError: no such position, or a sealed task without a proper salt.
    """
    size = num_tasks(split)
    require_integer("index", index, 0, size - 1)
    salt = sealed_salt(environ) if split == SEALED else ""
    block, place = divmod(index, len(STRATA))
    family, difficulty, count = STRATA[_order(split, block, salt)[place]]
    low = int.from_bytes(_hash(salt, f"seed|{split}|{index}")[:8], "big") >> (64 - _SEED_BITS)
    config = EpisodeConfig(
        seed=(_CODES[split] << _SEED_BITS) | low,
        scenario_family=family,
        difficulty=difficulty,
        anomaly_density="low" if count <= 2 else "medium" if count == 3 else "high",
        anomaly_count=count,
    )
    return SplitTask(f"{split}-{index}", split, index, config)


def get_task_range(
    split: str,
    start: int | None = None,
    stop: int | None = None,
    environ: Mapping[str, str] | None = None,
) -> list[SplitTask]:
    """Tasks of a split between two positions, with Python's slice rules."""
    return [get_task(split, index, environ) for index in range(num_tasks(split))[start:stop]]


def list_tasks(split: str, environ: Mapping[str, str] | None = None) -> list[SplitTask]:
    """The first `PREVIEW` tasks of a split; `num_tasks` tells how many there are."""
    return get_task_range(split, 0, PREVIEW, environ)


def commitment(environ: Mapping[str, str] | None = None) -> str:
    """SHA-256 over the salt and every sealed task, in hexadecimal.

    It tells nothing about the tasks; with the salt revealed, anybody can compute it again
    and see that the tasks were fixed when it was published.
    """
    digest = hashlib.sha256(f"{DOMAIN}|commitment|{sealed_salt(environ)}".encode())
    for index in range(num_tasks(SEALED)):
        digest.update(get_task(SEALED, index, environ).config.identity.encode())
    return digest.hexdigest()


def _hash(salt: str, text: str) -> bytes:
    """Hash for public splits, keyed hash for the sealed one."""
    return hmac.new(salt.encode(), f"{DOMAIN}|{text}".encode(), hashlib.sha256).digest()


@lru_cache(maxsize=64)
def _order(split: str, block: int, salt: str) -> tuple[int, ...]:
    """Order of the strata within a block."""
    keys = [_hash(salt, f"order|{split}|{block}|{number}") for number in range(len(STRATA))]
    return tuple(sorted(range(len(STRATA)), key=keys.__getitem__))
