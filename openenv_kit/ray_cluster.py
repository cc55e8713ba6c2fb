"""Connection to a Ray cluster; needs the `ray` extra."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from openenv_kit.errors import ConfigurationError
from openenv_kit.variables import UV_HOOK_VARIABLE


@contextmanager
def connect_to_ray() -> Iterator[ModuleType]:
    """Connect to a Ray cluster and yield the module `ray`; disconnect on exit.

    The variable RAY_ADDRESS selects the cluster. If it is not set, a local cluster is started.

    Raises:
        ConfigurationError: Ray is not installed.
    """
    # Under `uv run`, each Ray worker would copy the working directory and install it again.
    os.environ.setdefault(UV_HOOK_VARIABLE, "0")
    try:
        import ray
    except ImportError:
        raise ConfigurationError(
            "ray is not installed; pip install 'openenv-metric-tracker-rl[ray]'"
        ) from None
    ray.init(ignore_reinit_error=True, log_to_driver=False)
    try:
        yield ray
    finally:
        ray.shutdown()
