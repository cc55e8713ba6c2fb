"""Entry point of an embedded server process: `python -m openenv_kit.agent.embedded_server PORT`.

The process exits when its parent exits. It detects this through its standard input, a pipe from the
parent that is closed when the parent exits for any reason.
"""

from __future__ import annotations

import os
import sys
import threading


def _wait_for_parent_and_exit_process() -> None:
    while sys.stdin.buffer.read(1):
        pass
    os._exit(0)


if __name__ == "__main__":
    threading.Thread(target=_wait_for_parent_and_exit_process, daemon=True).start()
    # The framework imports Gradio if it is installed, which takes half of the server's start time.
    # This server has no page, so Gradio is hidden from it.
    sys.modules["gradio"] = None  # type: ignore[assignment]
    from openenv_kit.serving.app import main

    main(["--host", "127.0.0.1", "--port", sys.argv[1], "--workers", "1"])
