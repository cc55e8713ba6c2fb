"""Connection to a Ray cluster; needs the `ray` extra."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from openenv_kit.errors import ConfigurationError
from openenv_kit.variables import PRODUCTS_VARIABLE, UV_HOOK_VARIABLE

SHARED_VARIABLES = (PRODUCTS_VARIABLE,)
"""Variables that the workers of a running cluster would otherwise not have."""


@contextmanager
def connect_to_ray() -> Iterator[ModuleType]:
    """Connect to a Ray cluster and yield the module `ray`; disconnect on exit.

    The variable RAY_ADDRESS selects the cluster. If it is not set, a local cluster is started. The
    workers get the `SHARED_VARIABLES` of this process; product files must have the same path on
    every machine of the cluster.

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
    variables = {name: os.environ[name] for name in SHARED_VARIABLES if os.environ.get(name)}
    ray.init(
        ignore_reinit_error=True,
        log_to_driver=False,
        runtime_env={"env_vars": variables} if variables else None,
    )
    try:
        yield ray
    finally:
        ray.shutdown()
