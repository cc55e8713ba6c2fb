"""Stand-ins for trainers' libraries; every test draws tasks as a new process does."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from openenv_kit.datasets import task_sampling
from support.trainer_stand_ins import MODULES, Columns

ONE_RANK = {
    "gather_object": lambda objects: objects,
    "broadcast_object_list": lambda objects: objects,
}
"""Accelerate's communication in a run with one rank."""


@pytest.fixture(autouse=True)
def new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw as a process does that has not drawn before."""
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(task_sampling, "_index_iterators", {})


@pytest.fixture
def stand_ins(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Adapters against stand-ins for their libraries; check_integrations runs them in those."""

    class Model:
        def __init__(self, **fields: Any) -> None:
            self.__dict__.update(fields)

        def model_dump(self) -> dict[str, Any]:
            return dict(self.__dict__)

    class BaseTextEnv:
        def __init__(self) -> None:
            self.turns, self.max_turns = 0, 1

    models = ("ResourcesServerConfig", "SeedSessionRequest", "SeedSessionResponse")
    models = (*models, "VerifyRequest", "VerifyResponse")
    modules: dict[str, dict[str, Any]] = {
        "skyrl_gym": {},
        "skyrl_gym.envs": {},
        "skyrl_gym.envs.base_text_env": {"BaseTextEnv": BaseTextEnv, "BaseTextEnvStepOutput": dict},
        "skyrl_gym.envs.registration": {"register": None, "registry": {}},
        "nemo_gym": {},
        "nemo_gym.base_resources_server": {
            **{f"Base{name}": type(name, (Model,), {}) for name in models},
            "SimpleResourcesServer": type("SimpleResourcesServer", (Model,), {}),
        },
        "nemo_gym.server_utils": {"SESSION_ID_KEY": "session_id"},
        "transformers": {"TrainerCallback": object},
        "accelerate": {},
        "accelerate.utils": ONE_RANK,
        "datasets": {"Dataset": SimpleNamespace(from_list=list)},
    }
    for name, members in modules.items():
        module = ModuleType(name)
        module.__dict__.update(members)
        monkeypatch.setitem(sys.modules, name, module)
    adapters = ("skyrl", "nemo_gym", "trl_monitor", "trl_curriculum")
    for name in adapters:
        monkeypatch.delitem(sys.modules, f"openenv_kit.trainers.{name}", raising=False)
    loaded = {name: importlib.import_module(f"openenv_kit.trainers.{name}") for name in adapters}
    yield SimpleNamespace(**loaded)
    for name in adapters:
        sys.modules.pop(f"openenv_kit.trainers.{name}", None)


@pytest.fixture
def callbacks(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    stand_ins = {
        "transformers": {"TrainerCallback": object},
        "accelerate": {},
        "accelerate.utils": ONE_RANK,
        "datasets": {"Dataset": Columns},
    }
    for name, members in stand_ins.items():
        module = ModuleType(name)
        module.__dict__.update(members)
        monkeypatch.setitem(sys.modules, name, module)
    for name in MODULES:
        monkeypatch.delitem(sys.modules, name, raising=False)
    monitor, curriculum = map(importlib.import_module, MODULES)
    yield SimpleNamespace(
        RolloutMonitor=monitor.RolloutMonitor, CurriculumCallback=curriculum.CurriculumCallback
    )
    for name in MODULES:
        sys.modules.pop(name, None)
