"""FirewatchEnv: incidents in a graph of services, to investigate, repair and declare over.

Public names are loaded when they are first used: the engine needs no framework.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from firewatch_env.client import FirewatchEnv
    from firewatch_env.models import FirewatchAction, FirewatchObservation, FirewatchState

__version__ = "0.1.0"

__all__ = ["FirewatchAction", "FirewatchEnv", "FirewatchObservation", "FirewatchState"]


def __getattr__(name: str) -> Any:
    """A public name, loaded on first use."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "FirewatchEnv":
        from firewatch_env import client as home
    else:
        from firewatch_env import models as home  # type: ignore[no-redef]
    return getattr(home, name)
