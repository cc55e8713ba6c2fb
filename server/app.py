"""Entry points of a checkout: the command `server`, and `server.app:app` for any ASGI server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from openenv_kit.serving import app as serving
from openenv_kit.serving.app import build_app, main

if TYPE_CHECKING:
    from fastapi import FastAPI

    app: FastAPI

__all__ = ["app", "build_app", "main"]


def __getattr__(name: str) -> FastAPI:
    """Return `app`, which is built on first use."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return serving.app


if __name__ == "__main__":
    main()
