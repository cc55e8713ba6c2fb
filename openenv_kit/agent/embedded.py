"""The server process of a run that was given no server: ends when its parent does.

Run as `python -m openenv_kit.agent.embedded PORT`; its standard input is a pipe from the
parent, whose end of file means that the parent is gone, however it went.
"""

from __future__ import annotations

import os
import sys
import threading


def _end_with_parent() -> None:
    while sys.stdin.buffer.read(1):
        pass
    os._exit(0)


def main() -> None:
    """Serve on loopback until told to stop."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    from openenv_kit.serving.app import main as serve

    serve(["--host", "127.0.0.1", "--port", sys.argv[1], "--workers", "1"])


if __name__ == "__main__":
    main()
