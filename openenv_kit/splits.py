"""Train, validation and test splits by hash, and a sealed one that public code cannot regenerate.

A task is a position in a split; its seed is a hash of the split's name and the position. The
highest bits of a seed name the split, so no two splits share an episode, by construction. Every
block of consecutive tasks holds each stratum once, in an order of its own.

```python
SPLITS = HashedSplits(
    "my-game/1",
    blocks={"train": 100, "test": 10},
    strata=[{"level": 1}, {"level": 2}],
    make=lambda seed, stratum: {"seed": seed, **stratum},
)
SPLITS.task("test", 3).config  # {"seed": …, "level": …}
```

A sealed split's hashes are keyed with a secret from the server's environment. Its commitment can
be published before anybody plays and checked when the secret is revealed.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from openenv_kit.errors import require_integer, require_name
from openenv_kit.sealed_split import SEALED_SPLIT as SEALED_SPLIT  # part of this module's interface
from openenv_kit.sealed_split import has_sealed_salt, read_sealed_salt

SESSIONS_SPLIT = "sessions"
"""Split that MCP sessions without an episode play, and nothing else offers."""

Config = TypeVar("Config")
Stratum = TypeVar("Stratum")


class SplitTask(Protocol):
    """One task of a split."""

    @property
    def task_id(self) -> str:
        """`<split>-<index>`."""

    @property
    def level(self) -> str | None:
        """Name of the task's level; None if the environment has no levels."""

    def reset_arguments(self) -> dict[str, Any]:
        """Arguments of the reset that plays it."""

    def as_dict(self) -> dict[str, Any]:
        """What may be told about the task: never a seed or a label."""


class Splits(Protocol):
    """Tasks by split and position."""

    def names(self) -> Sequence[str]:
        """Splits to train and measure on here; never `sessions`."""

    def size(self, split: str) -> int:
        """Number of tasks; raises UnknownNameError."""

    def task(self, split: str, index: int) -> SplitTask:
        """One task; raises UnknownNameError or InvalidValueError."""


@dataclass(frozen=True)
class HashedTask(Generic[Config]):
    """One task of a split, by its position from 0.

    Attributes:
        config: what its episode is made from; that of a sealed task stays on the server.
        level: name of the task's level; None if the environment has no levels.
        public_fields: what may be told about the task beside its position and level.
    """

    split: str
    index: int
    config: Config
    level: str | None = None
    public_fields: Mapping[str, Any] = field(default_factory=dict)

    @property
    def task_id(self) -> str:
        """`<split>-<index>`."""
        return f"{self.split}-{self.index}"

    def reset_arguments(self) -> dict[str, Any]:
        """Arguments of the reset that plays this task."""
        return {"split": self.split, "index": self.index}

    def as_dict(self) -> dict[str, Any]:
        """What may be told about the task: never its seed or its answer."""
        reset = self.reset_arguments()
        level = {} if self.level is None else {"difficulty": self.level}
        return {"id": self.task_id, **reset, **level, **self.public_fields, "reset": reset}


@dataclass(frozen=True, eq=False)
class HashedSplits(Generic[Config, Stratum]):
    """The splits of an environment.

    Attributes:
        domain: text that every hash begins with; another one makes other tasks.
        blocks: for each split, its number of blocks. At most four splits, because two bits of a
            seed name the split; their order is part of every seed. `sessions` may come after them:
            a fifth shares the bits of the first, and no two of their seeds are the same but by a
            chance of about 2⁻⁶² each.
        strata: what each block holds once; a split has `blocks × len(strata)` tasks.
        make_config: the configuration of a seed (0 to 2⁶⁴ − 1) and a stratum.
        level_of: returns the level of a configuration; by default None.
        public_fields_of: returns what a task shows of its configuration beside the level.
        identity_of: text that stands for a configuration in the commitment.
    """

    domain: str
    blocks: Mapping[str, int]
    strata: Sequence[Stratum]
    make_config: Callable[[int, Stratum], Config]
    level_of: Callable[[Config], str | None] = lambda _: None
    public_fields_of: Callable[[Config], Mapping[str, Any]] = lambda _: {}
    identity_of: Callable[[Config], str] = repr

    def __post_init__(self) -> None:
        require_integer("number of splits", len(self.blocks.keys() - {SESSIONS_SPLIT}), 1, 4)
        require_integer("number of strata", len(self.strata), 1, 2**32)

    def names(self) -> list[str]:
        """Splits to train and measure on; the sealed one only where its secret is set."""
        return [
            name
            for name in self.blocks
            if name != SESSIONS_SPLIT and (name != SEALED_SPLIT or has_sealed_salt())
        ]

    def size(self, split: str) -> int:
        """Number of tasks of a split.

        Raises:
            UnknownNameError: there is no such split; names the nearest.
        """
        return self.blocks[require_name("split", split, self.blocks)] * len(self.strata)

    def task(self, split: str, index: int) -> HashedTask[Config]:
        """Task of a split by its position.

        Raises:
            UnknownNameError: there is no such split.
            InvalidValueError: no such position, or a sealed task without a proper secret.
        """
        require_integer("index", index, 0, self.size(split) - 1)
        salt = read_sealed_salt() if split == SEALED_SPLIT else ""
        block, place = divmod(index, len(self.strata))
        stratum = self.strata[
            _stratum_order(self.domain, split, block, len(self.strata), salt)[place]
        ]
        low = (
            int.from_bytes(_keyed_hash(self.domain, salt, f"seed|{split}|{index}")[:8], "big") >> 2
        )
        config = self.make_config((list(self.blocks).index(split) % 4 << 62) | low, stratum)
        return HashedTask(
            split, index, config, self.level_of(config), self.public_fields_of(config)
        )

    def sealed_commitment(self) -> str:
        """SHA-256 over the secret and every sealed task, in hexadecimal; it tells nothing of them.

        Raises:
            UnknownNameError: no split is sealed.
            InvalidValueError: no proper secret is set.
        """
        size = self.size(SEALED_SPLIT)
        digest = hashlib.sha256(f"{self.domain}|commitment|{read_sealed_salt()}".encode())
        for index in range(size):
            digest.update(self.identity_of(self.task(SEALED_SPLIT, index).config).encode())
        return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class PerLevelSplits(HashedSplits[Config, Stratum]):
    """Splits of an environment, with further splits for each of its rungs: `train_rung_1`, ….

    `names` lists the environment's own splits only, so that rungs enter no leaderboard.

    Attributes:
        splits_by_level: splits of each rung, by the rung's name. Each needs a `domain` of its own.
    """

    splits_by_level: Mapping[str, HashedSplits[Config, Any]] = field(default_factory=dict)

    def level_split_name(self, split: str, level: str) -> str:
        """Return the name of a rung's share of a split, such as `train_rung_1`.

        Raises:
            UnknownNameError: no such rung, or the rung has no such split; names the nearest.
        """
        splits = self.splits_by_level[require_name("level", level, self.splits_by_level)]
        return f"{require_name('split', split, splits.blocks)}_{level}"

    def size(self, split: str) -> int:
        found = self._find_level_split(split)
        return found.splits.size(found.split) if found else super().size(split)

    def task(self, split: str, index: int) -> HashedTask[Config]:
        found = self._find_level_split(split)
        if found is None:
            return super().task(split, index)
        return replace(found.splits.task(found.split, index), split=split)

    def _find_level_split(self, split: str) -> _LevelSplit | None:
        """Return the rung's splits and the split among them, None for another name.

        Raises:
            UnknownNameError: the name is of no split at all; names the nearest.
        """
        named = {
            f"{name}_{rung}": _LevelSplit(splits, name)
            for rung, splits in self.splits_by_level.items()
            for name in splits.blocks
        }
        if require_name("split", split, (*self.blocks, *named)) in self.blocks:
            return None
        return named[split]


class _LevelSplit(NamedTuple):
    """A split among those of one rung."""

    splits: HashedSplits[Any, Any]
    split: str


def _keyed_hash(domain: str, salt: str, text: str) -> bytes:
    """Keyed hash; the key of public splits is empty."""
    return hmac.new(salt.encode(), f"{domain}|{text}".encode(), hashlib.sha256).digest()


@lru_cache(maxsize=64)
def _stratum_order(
    domain: str, split: str, block: int, stratum_count: int, salt: str
) -> tuple[int, ...]:
    """Order of the strata within a block."""
    keys = [
        _keyed_hash(domain, salt, f"order|{split}|{block}|{number}")
        for number in range(stratum_count)
    ]
    return tuple(sorted(range(stratum_count), key=keys.__getitem__))


def seed_from_text(text: str) -> int:
    """Seed that a text stands for, 64 bits of its SHA-256: nobody guesses it by counting."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


@lru_cache(maxsize=64)
def indices_of_level(splits: HashedSplits[Any, Any], split: str, level: str) -> tuple[int, ...]:
    """Return the indices of a split's tasks of one level."""
    indices = range(splits.size(split))
    return tuple(index for index in indices if splits.task(split, index).level == level)
