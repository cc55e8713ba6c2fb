"""Splits, dataset rows, sampled tasks and trainer classes of a product."""

from __future__ import annotations

import inspect
import pickle
from pathlib import Path

import pytest

from metric_tracker_rl.engine.configuration.product_splits import build_product_splits
from metric_tracker_rl.engine.definitions.rungs import RUNG_LEVELS
from metric_tracker_rl.environment import ENVIRONMENT
from metric_tracker_rl.products.product import Product
from metric_tracker_rl.products.product_registry import find_product, register_product_file
from openenv_kit.datasets.split_rows import list_task_rows
from openenv_kit.datasets.task_sampling import sample_task_reset_arguments
from openenv_kit.errors import ConfigurationError, InvalidValueError, UnknownNameError
from openenv_kit.own_data.product_argument import get_splits_of_reset
from openenv_kit.trainers import trl
from openenv_kit.trainers.tool_episode import ToolEpisode
from openenv_kit.trainers.trl import _build_environment_class, environment_class
from support.products import build_level_mapping, write_example_product

FAMILY_COUNT = 4
"""Families of the example product, with `mixed`."""
ROW_COLUMNS = {"environment", "task", "level", "split", "index", "product", "product_digest"}


def test_strata_are_families_levels_and_counts_of_the_product(product_file: Path) -> None:
    splits = build_product_splits(register_product_file(product_file))
    assert len(splits.strata) == FAMILY_COUNT * 4 * 6
    assert splits.size("test") == 12 * len(splits.strata)


def test_level_that_is_off_has_no_tasks_and_neither_have_its_rungs(tmp_path: Path) -> None:
    levels = build_level_mapping()
    levels["easy"] |= {"on": False, "families": [], "certified": 0, "reason": "29 a day"}
    product = find_product_of_file(tmp_path, level=levels)
    splits = build_product_splits(product)
    assert {stratum.difficulty for stratum in splits.strata} == {"medium", "hard", "expert"}
    assert set(splits.splits_by_level) == set()
    every_level = build_product_splits(find_product_of_file(tmp_path))
    assert set(every_level.splits_by_level) == {"rung_1", "rung_2"} < set(RUNG_LEVELS)


def find_product_of_file(folder: Path, **changes: object) -> Product:
    return register_product_file(write_example_product(folder / "shop.toml", **changes))


def test_product_without_levels_has_no_splits(tmp_path: Path) -> None:
    levels = {
        name: {**level, "on": False, "families": [], "certified": 0, "reason": "29 a day"}
        for name, level in build_level_mapping().items()
    }
    product = find_product_of_file(tmp_path, level=levels)
    with pytest.raises(InvalidValueError, match="a product with a level that is on"):
        build_product_splits(product)


def test_changed_product_has_other_tasks(tmp_path: Path) -> None:
    first = build_product_splits(find_product_of_file(tmp_path)).task("train", 0)
    second = build_product_splits(find_product_of_file(tmp_path, days=111)).task("train", 0)
    assert first.config.seed != second.config.seed


def test_sealed_tasks_of_a_product_depend_on_the_secret(
    product_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    splits = build_product_splits(register_product_file(product_file))
    monkeypatch.setenv("OPENENV_KIT_SEALED_SALT", "a" * 32)
    first = splits.task("sealed", 0).config
    monkeypatch.setenv("OPENENV_KIT_SEALED_SALT", "b" * 32)
    assert splits.task("sealed", 0).config.seed != first.seed


def test_rows_of_a_product_carry_its_name_and_digest(product_file: Path) -> None:
    rows = list_task_rows("test", 0, 3, product=product_file)
    digest = find_product("shop").digest
    assert [(row["product"], row["product_digest"]) for row in rows] == [("shop", digest)] * 3
    assert set(rows[0]) == ROW_COLUMNS


def test_rows_without_a_product_have_no_further_column() -> None:
    assert set(list_task_rows("test", 0, 1)[0]) == ROW_COLUMNS - {"product", "product_digest"}


def test_rows_of_a_rung_of_a_product(product_file: Path) -> None:
    (row,) = list_task_rows("train", 0, 1, product=product_file, level="rung_1")
    assert row["split"] == "train_rung_1"


def test_sampled_task_of_a_product_has_its_name(product_file: Path) -> None:
    register_product_file(product_file)
    reset = {"product": "shop", "split": "test", "difficulty": "hard"}
    arguments = sample_task_reset_arguments(ENVIRONMENT, reset)
    task = get_splits_of_reset(ENVIRONMENT, arguments).task("test", arguments["index"])
    assert (arguments["product"], task.level) == ("shop", "hard")


def test_product_of_an_unknown_name_is_refused_with_what_to_do() -> None:
    with pytest.raises(ConfigurationError, match=r"Unknown product 'shop'.*--product FILE"):
        list_task_rows("test", 0, 1, product="shop")


def test_environment_without_products_refuses_one(product_file: Path) -> None:
    with pytest.raises(ConfigurationError, match="does not support products"):
        list_task_rows("test", 0, 1, "firewatch", product=product_file)


def test_class_of_a_product_has_its_stages_and_plays_its_rows(product_file: Path) -> None:
    product_class = environment_class(product=product_file, split="test")
    rows = list_task_rows("test", 0, 1, product="shop")
    played = product_class()
    message = played.reset(**rows[0])
    assert "payments" in message
    names = product_class._offered_tool_names
    signatures = [str(inspect.signature(getattr(product_class, name))) for name in names]
    assert any("payments" in signature for signature in signatures)


def test_class_of_a_product_draws_its_tasks_without_a_row(product_file: Path) -> None:
    assert "payments" in environment_class(product=product_file)().reset()


def test_class_of_a_product_refuses_rows_without_it(product_file: Path) -> None:
    played = environment_class(product=product_file)()
    with pytest.raises(InvalidValueError, match="the row's product is None; allowed: 'shop'"):
        played.reset(**list_task_rows("test", 0, 1)[0])


def test_class_without_a_product_refuses_its_rows(product_file: Path) -> None:
    (row,) = list_task_rows("test", 0, 1, product=product_file)
    with pytest.raises(InvalidValueError, match="the row's product is 'shop'; allowed: no product"):
        environment_class()().reset(**row)


def test_row_of_an_earlier_import_is_refused_with_both_digests(tmp_path: Path) -> None:
    path = tmp_path / "shop.toml"
    (row,) = list_task_rows("test", 0, 1, product=write_example_product(path))
    register_product_file(write_example_product(path, days=111))
    digest = find_product("shop").digest
    with pytest.raises(ConfigurationError, match=f"{digest}.*{row['product_digest']}"):
        ToolEpisode().reset(row)


def test_class_of_a_product_can_be_pickled_and_is_refused_for_another_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "shop.toml"
    product_class = environment_class(product=write_example_product(path))
    text = pickle.dumps(product_class)
    assert pickle.loads(text) is product_class
    register_product_file(write_example_product(path, days=111))
    other_class = environment_class(product="shop")
    assert other_class is not product_class
    # As in another process, which has made no class yet.
    monkeypatch.setattr(trl, "_build_environment_class", _build_environment_class.__wrapped__)
    with pytest.raises(InvalidValueError, match="for which the class was made"):
        pickle.loads(text)


def test_level_that_the_product_lacks_is_refused(product_file: Path) -> None:
    register_product_file(product_file)
    with pytest.raises(UnknownNameError, match="level 'impossible'"):
        list_task_rows("test", 0, 1, product="shop", level="impossible")
