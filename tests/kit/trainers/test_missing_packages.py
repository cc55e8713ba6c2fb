"""Adapters whose trainer's package is not installed name what installs it."""

from __future__ import annotations

import importlib
import re
import sys

import pytest

from openenv_kit.datasets.split_rows import list_task_rows
from openenv_kit.trainers.trl import build_dataset_from_rows

FUNNEL = list_task_rows("train", count=1)[0]


@pytest.mark.parametrize(
    ("adapter", "package", "install"),
    [
        ("verifiers", "verifiers", "'verifiers>="),
        ("inspect_ai", "inspect_ai", "'inspect-ai>="),
        ("nemo_gym", "nemo_gym", "'nemo-gym>="),
        ("skyrl", "skyrl_gym", "'openenv-metric-tracker-rl[skyrl]'"),
    ],
)
def test_adapter_without_its_trainer_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, adapter: str, package: str, install: str
) -> None:
    name = f"openenv_kit.trainers.{adapter}"
    monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ModuleNotFoundError, match=re.escape(f"pip install {install}")):
        importlib.import_module(name)


def test_trl_dataset_without_its_package_names_the_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ModuleNotFoundError, match=r"'openenv-metric-tracker-rl\[trl\]'"):
        build_dataset_from_rows([FUNNEL])
