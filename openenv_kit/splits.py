"""Splits: numbered tasks for training, validation and testing, whose seeds are hashes.

A task is an index in a split. Its seed is a hash of the split's name and the index. The highest
bits of a seed identify the split, so that no two splits share an episode. Each block of consecutive
tasks contains each stratum once, in pseudo-random order.

```python
SPLITS = HashedSplits(
    "my-game/1",
    blocks={"train": 100, "test": 10},
    strata=["easy", "hard"],
    make_config=lambda seed, level: {"seed": seed, "level": level},
    level_of=lambda config: config["level"],
)
SPLITS.task("test", 3).config  # {"seed": …, "level": …}
```

The hashes of a sealed split are keyed with a secret of the server. A commitment to the tasks can be
published in advance and verified when the secret is revealed.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from openenv_kit.errors import InvalidValueError, require_integer, require_name
from openenv_kit.sealed_split import SEALED_SPLIT as SEALED_SPLIT  # part of this module's interface
from openenv_kit.sealed_split import has_sealed_salt, is_sealed_split, read_sealed_salt

SESSIONS_SPLIT = "sessions"
"""Name of the split for MCP sessions without an episode id. No other interface offers it."""
SPLIT_BITS = 2
"""Number of the highest bits of a seed that identify the split."""
SEED_HASH_BITS = 64 - SPLIT_BITS
"""Number of the remaining bits of a seed, which are taken from a hash."""
MAX_SPLITS = 2**SPLIT_BITS
_TASK_ID_PATTERN = re.compile(r"(?P<split>\w+)-(?P<index>[0-9]{1,9})")

Config = TypeVar("Config")
Stratum = TypeVar("Stratum")


class SplitTask(Protocol):
    """One task of a split."""

    @property
    def task_id(self) -> str:
        """Id of the task: `<split>-<index>`."""

    @property
    def level(self) -> str | None:
        """Name of the task's level; None if the environment has no levels."""

    def reset_arguments(self) -> dict[str, Any]:
        """Return the arguments of the reset that starts the task."""

    def as_public_dict(self) -> dict[str, Any]:
        """Return the public fields of the task, which contain neither a seed nor a label."""


class Splits(Protocol):
    """The splits of an environment with their tasks."""

    def list_playable_split_names(self) -> Sequence[str]:
        """Return the names of the splits that can be played on this server, except `sessions`."""

    def size(self, split: str) -> int:
        """Return the number of tasks of a split.

        Raises:
            UnknownNameError: there is no such split.
        """

    def task(self, split: str, index: int) -> SplitTask:
        """Return a task of a split.

        Raises:
            UnknownNameError: there is no such split.
            InvalidValueError: the index is out of range.
        """


@dataclass(frozen=True)
class HashedTask(Generic[Config]):
    """One task of a split.

    Attributes:
        split: name of the split.
        index: index in the split, from 0.
        config: configuration of the episode, which must not leave the server if the task is sealed.
        level: name of the task's level; None if the environment has no levels.
        public_fields: additional fields that `as_public_dict` returns.
    """

    split: str
    index: int
    config: Config
    level: str | None = None
    public_fields: Mapping[str, Any] = field(default_factory=dict)

    @property
    def task_id(self) -> str:
        """Id of the task: `<split>-<index>`."""
        return f"{self.split}-{self.index}"

    def reset_arguments(self) -> dict[str, Any]:
        """Return the arguments of the reset that starts this task."""
        return {"split": self.split, "index": self.index}

    def as_public_dict(self) -> dict[str, Any]:
        """Return the public fields of the task, which contain neither a seed nor a label."""
        reset = self.reset_arguments()
        level = {} if self.level is None else {"difficulty": self.level}
        return {"id": self.task_id, **reset, **level, **self.public_fields, "reset": reset}


@dataclass(frozen=True, eq=False)
class HashedSplits(Generic[Config, Stratum]):
    """Splits whose tasks are determined by hashes.

    Attributes:
        domain: prefix of the input of every hash. A different domain gives different tasks.
        blocks: number of blocks of each split. There are at most `MAX_SPLITS` splits, because
            `SPLIT_BITS` bits of a seed identify the split; the order of the splits determines the
            seeds. The split `sessions` may follow as a fifth split. It shares the bits of the first
            split, so two seeds of these splits can be equal, with a probability of about 2⁻⁶².
        strata: properties of tasks, such as levels. Each block contains one task of each stratum,
            so a split has `blocks × len(strata)` tasks.
        make_config: builds a configuration from a seed (0 to 2⁶⁴ − 1) and a stratum.
        level_of: returns the level of a configuration; by default None.
        public_fields_of: returns the public fields of a configuration, apart from the level.
        identity_of: returns a string that identifies a configuration in the commitment.
    """

    domain: str
    blocks: Mapping[str, int]
    strata: Sequence[Stratum]
    make_config: Callable[[int, Stratum], Config]
    level_of: Callable[[Config], str | None] = lambda _: None
    public_fields_of: Callable[[Config], Mapping[str, Any]] = lambda _: {}
    identity_of: Callable[[Config], str] = repr

    def __post_init__(self) -> None:
        require_integer(
            "number of splits", len(self.blocks.keys() - {SESSIONS_SPLIT}), 1, MAX_SPLITS
        )
        require_integer("number of strata", len(self.strata), 1, 2**32)

    def list_levels(self) -> list[str]:
        """Return the names of the levels of the tasks, in the order of the strata."""
        levels = (self.level_of(self.make_config(0, stratum)) for stratum in self.strata)
        return list(dict.fromkeys(level for level in levels if level is not None))

    def list_playable_split_names(self) -> list[str]:
        """Return the names of the splits that can be played; `sealed` only if its salt is set."""
        return [
            name
            for name in self.blocks
            if name != SESSIONS_SPLIT and (name != SEALED_SPLIT or has_sealed_salt())
        ]

    def size(self, split: str) -> int:
        """Return the number of tasks of a split.

        Raises:
            UnknownNameError: there is no such split.
        """
        return self.blocks[require_name("split", split, self.blocks)] * len(self.strata)

    def task(self, split: str, index: int) -> HashedTask[Config]:
        """Return a task of a split.

        Raises:
            UnknownNameError: there is no such split.
            InvalidValueError: the index is out of range, or the split is sealed and its salt is not
                set or too short.
        """
        require_integer("index", index, 0, self.size(split) - 1)
        salt = read_sealed_salt() if split == SEALED_SPLIT else ""
        block, position_in_block = divmod(index, len(self.strata))
        stratum_order = _shuffle_strata_of_block(self.domain, split, block, len(self.strata), salt)
        stratum = self.strata[stratum_order[position_in_block]]
        split_bits = list(self.blocks).index(split) % MAX_SPLITS
        seed_hash = _compute_keyed_hash(self.domain, salt, f"seed|{split}|{index}")
        hash_bits = int.from_bytes(seed_hash[:8], "big") >> SPLIT_BITS
        config = self.make_config((split_bits << SEED_HASH_BITS) | hash_bits, stratum)
        return HashedTask(
            split, index, config, self.level_of(config), self.public_fields_of(config)
        )

    def compute_sealed_commitment(self) -> str:
        """Return the SHA-256 of the salt and all sealed tasks, in hexadecimal.

        The hash does not reveal the tasks.

        Raises:
            UnknownNameError: there is no sealed split.
            InvalidValueError: the salt is not set or too short.
        """
        size = self.size(SEALED_SPLIT)
        digest = hashlib.sha256(f"{self.domain}|commitment|{read_sealed_salt()}".encode())
        for index in range(size):
            digest.update(self.identity_of(self.task(SEALED_SPLIT, index).config).encode())
        return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class PerLevelSplits(HashedSplits[Config, Stratum]):
    """Splits with additional splits for some levels, such as `train_rung_1`.

    `list_playable_split_names` returns the main splits only, so that results are not ranked on the
    additional splits.

    Attributes:
        splits_by_level: additional splits, by level. Each level needs a different `domain`.
    """

    splits_by_level: Mapping[str, HashedSplits[Config, Any]] = field(default_factory=dict)

    def find_split_name_of_level(self, split: str, level: str) -> str:
        """Return the name of the level's own split, such as `train_rung_1`.

        Args:
            split: name of the main split.
            level: name of the level.

        Raises:
            UnknownNameError: there is no such level, or it has no such split.
        """
        splits = self.splits_by_level[require_name("level", level, self.splits_by_level)]
        return f"{require_name('split', split, splits.blocks)}_{level}"

    def size(self, split: str) -> int:
        level_split = self._parse_level_split_name(split)
        if level_split is None:
            return super().size(split)
        return level_split.splits.size(level_split.split)

    def task(self, split: str, index: int) -> HashedTask[Config]:
        level_split = self._parse_level_split_name(split)
        if level_split is None:
            return super().task(split, index)
        return replace(level_split.splits.task(level_split.split, index), split=split)

    def _parse_level_split_name(self, split: str) -> _LevelSplit | None:
        """Find the split of a level by its name, such as `train_rung_1`; None for a main split.

        Raises:
            UnknownNameError: there is no such split.
        """
        level_splits = {
            f"{name}_{level}": _LevelSplit(splits, name)
            for level, splits in self.splits_by_level.items()
            for name in splits.blocks
        }
        if require_name("split", split, (*self.blocks, *level_splits)) in self.blocks:
            return None
        return level_splits[split]


class _LevelSplit(NamedTuple):
    """A split of one level.

    Attributes:
        splits: the splits of the level.
        split: name of the split without the level, such as `train`.
    """

    splits: HashedSplits[Any, Any]
    split: str


def find_reset_arguments_of_task_id(task_id: object, named_tasks: Container[str]) -> dict[str, Any]:
    """Return `split` and `index` of a task id of the form `<split>-<index>`, such as `train-7`.

    The result is empty for the id of a named task and for an id of another form. Whether the split
    and the index exist is not checked.

    Args:
        task_id: value of the reset argument `task_id`.
        named_tasks: ids of the named tasks of the environment.

    Raises:
        InvalidValueError: the id belongs to a sealed split or to `sessions`, whose tasks cannot be
            selected by an id.
    """
    match = _TASK_ID_PATTERN.fullmatch(task_id) if isinstance(task_id, str) else None
    if match is None or task_id in named_tasks:
        return {}
    split = match["split"]
    if is_sealed_split(split) or split == SESSIONS_SPLIT:
        raise InvalidValueError("task_id", task_id, "split and index for a task of a sealed split")
    return {"split": split, "index": int(match["index"])}


def _compute_keyed_hash(domain: str, salt: str, text: str) -> bytes:
    """Return the HMAC-SHA-256 of a string, keyed with the salt (empty for public splits)."""
    return hmac.new(salt.encode(), f"{domain}|{text}".encode(), hashlib.sha256).digest()


@lru_cache(maxsize=64)
def _shuffle_strata_of_block(
    domain: str, split: str, block: int, stratum_count: int, salt: str
) -> tuple[int, ...]:
    """Return the pseudo-random order of the strata in a block, as a tuple of stratum indices."""
    keys = [
        _compute_keyed_hash(domain, salt, f"order|{split}|{block}|{number}")
        for number in range(stratum_count)
    ]
    return tuple(sorted(range(stratum_count), key=keys.__getitem__))


def derive_seed_from_text(text: str) -> int:
    """Derive a seed from a string: the first 64 bits of its SHA-256.

    Unlike a counter, such a seed is hard to guess.
    """
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


@lru_cache(maxsize=64)
def find_task_indices_of_level(
    splits: HashedSplits[Any, Any], split: str, level: str
) -> tuple[int, ...]:
    """Return the indices of the tasks in a split that have the given level."""
    indices = range(splits.size(split))
    return tuple(index for index in indices if splits.task(split, index).level == level)
