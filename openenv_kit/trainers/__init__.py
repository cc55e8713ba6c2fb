"""Adapters for trainers and evaluation frameworks. They work with every environment.

Each module imports only its own trainer: `openenv_kit.trainers.verifiers` needs verifiers, and so
on. `tool_episode`, the base of all adapters, needs no trainer.

These parameters have the same meaning in all modules: `environment` is the name of an environment,
or None for the name in the variable ENVIRONMENT. `base_url` is the URL of the server on which
episodes are played, or None to play in this process. `split`, `first` and `count` select tasks, as
in `openenv_kit.datasets.split_rows.list_task_rows`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def explain_missing_package(pip_requirement: str) -> Iterator[None]:
    """Add the installation command to the error if an import in the `with` block fails.

    Args:
        pip_requirement: requirement that installs the missing module.

    Raises:
        ModuleNotFoundError: a module is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as problem:
        raise ModuleNotFoundError(
            f"{problem.name} is not installed: pip install '{pip_requirement}'", name=problem.name
        ) from None
