"""Sealed splits: salt, commitment and name."""

from __future__ import annotations

import pytest

from openenv_kit.errors import InvalidValueError, UnknownNameError
from openenv_kit.sealed_split import is_sealed_split
from openenv_kit.serving.episodes.trainer_record import compute_config_digest
from openenv_kit.splits import SEALED_SPLIT, HashedSplits
from openenv_kit.variables import SALT_VARIABLE

LEVELS = (1, 2, 3)


SPLITS: HashedSplits[dict[str, int], int] = HashedSplits(
    "guess/1",
    blocks={"train": 20, "test": 4, SEALED_SPLIT: 2},
    strata=LEVELS,
    make_config=lambda seed, level: {"seed": seed, "level": level},
)


SALT = "a secret of more than thirty-two characters"


def test_sealed_tasks_and_their_commitment_depend_on_the_salt_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    levels = HashedSplits(
        "guess/1", {"test": 1, SEALED_SPLIT: 1}, range(24), lambda _, level: level
    )
    same = HashedSplits("guess/1", {SEALED_SPLIT: 1}, ["only"], lambda _, stratum: stratum)

    def values_under(salt: str) -> tuple[str, str, str]:
        monkeypatch.setenv(SALT_VARIABLE, salt)
        order = [levels.task(SEALED_SPLIT, index).config for index in range(24)]
        return (
            str(order),
            same.compute_sealed_commitment(),
            compute_config_digest({"seed": 1}, is_sealed=True),
        )

    plain = compute_config_digest({"seed": 1}, is_sealed=False)
    for one, other in zip(values_under(SALT), values_under(f"{SALT}!"), strict=True):
        assert one != other
        assert plain not in (one, other)
    assert values_under(SALT) == values_under(SALT)


def test_sealed_split_needs_its_secret_and_has_a_commitment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(SALT_VARIABLE, raising=False)
    assert SPLITS.list_playable_split_names() == ["train", "test"]
    with pytest.raises(InvalidValueError, match="at least 32"):
        SPLITS.compute_sealed_commitment()
    monkeypatch.setenv(SALT_VARIABLE, SALT)
    assert SPLITS.list_playable_split_names() == ["train", "test", SEALED_SPLIT]
    committed = SPLITS.compute_sealed_commitment()
    monkeypatch.setenv(SALT_VARIABLE, f"{SALT}!")
    assert SPLITS.compute_sealed_commitment() != committed
    open_splits = HashedSplits("guess/1", {"train": 1}, LEVELS, lambda seed, _: seed)
    with pytest.raises(UnknownNameError, match="'sealed'"):
        open_splits.compute_sealed_commitment()
    with pytest.raises(InvalidValueError, match="number of splits"):
        HashedSplits("guess/1", dict.fromkeys("abcde", 1), LEVELS, lambda seed, _: seed)


@pytest.mark.parametrize(
    ("split", "expected"),
    [
        ("sealed", True),
        ("sealed_rung_1", True),
        ("rungs_sealed", True),
        ("test", False),
        ("unsealed", False),
        (None, False),
        (["sealed"], False),
    ],
)
def test_split_is_sealed_if_a_part_of_its_name_says_so(split: object, expected: bool) -> None:
    assert is_sealed_split(split) is expected
