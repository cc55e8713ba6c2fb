"""Adapters for trainers and evaluation frameworks. They work with every environment.

Each module imports only its own trainer: `openenv_kit.trainers.verifiers` needs verifiers, and so
on. `tool_episode`, the base of all adapters, needs no trainer.

These parameters mean the same in all modules: `environment` is the name of an environment, None for
the one that the variable ENVIRONMENT names; `base_url` is the address of a server to play on, None
to play in this process; `split`, `first` and `count` select tasks, as in
`openenv_kit.datasets.split_rows.list_task_rows`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def require_package(requirement: str) -> Iterator[None]:
    """Add the installation command to the error if an import in the `with` block fails.

    Args:
        requirement: requirement for pip that installs the modules.

    Raises:
        ModuleNotFoundError: a module is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as problem:
        raise ModuleNotFoundError(
            f"{problem.name} is not installed: pip install '{requirement}'", name=problem.name
        ) from None
