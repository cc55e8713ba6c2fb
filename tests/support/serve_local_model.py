"""Serve a GGUF file with llama.cpp, until standard input ends.

    python serve_local_model.py MODEL CONTEXT_TOKENS CHAT_TEMPLATE

The address is printed once requests are accepted. This program runs in a process of its own, with
the packages that `local_model.py` installs.
"""

from __future__ import annotations

import sys
from pathlib import Path

import xllamacpp


def main(model: str, context_tokens: str, chat_template: str) -> None:
    """Serve a model over an OpenAI-compatible interface, on one thread."""
    parameters = xllamacpp.CommonParams()
    parameters.model.path = model
    parameters.n_ctx = int(context_tokens)
    parameters.n_parallel = 1
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = 1
    parameters.warmup = False
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = 0
    parameters.chat_template = Path(chat_template).read_text(encoding="utf-8")
    server = xllamacpp.Server(parameters)
    print(server.listening_address, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
