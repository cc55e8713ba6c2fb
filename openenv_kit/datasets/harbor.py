"""Tasks as folders that Harbor runs: any command-line agent plays them through MCP.

A folder has the instruction, the agent's own container, the environment's server beside it, a
verifier and the reference's calls:

```
test-3/
  instruction.md            brief and opening, as every model gets them
  task.toml                 where the tools are, what is collected, versions
  environment/              Dockerfile of the agent; docker-compose.yaml adds the server
  tests/                    Dockerfile and test.sh of the verifier, in a container of its own
  solution/                 solve.sh plays the reference
```

The agent may do in its container what it likes: episode, labels and outcome are in the server's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from openenv_kit.datasets.split_rows import Row
from openenv_kit.environment import Environment
from openenv_kit.rollouts.run_policy import begun, moves

SCHEMA_VERSION = "1.4"
BASE_IMAGE = "python:3.11-slim"
"""Of the agent's container and the verifier's; both need Python's standard library alone."""
SERVICE, PORT = "server", 8000
URL = f"http://{SERVICE}:{PORT}/mcp"
OUTCOME = "/tmp/outcome.json"
"""In the server's container, and again in the verifier's."""
AGENT_TIMEOUT_S, VERIFIER_TIMEOUT_S = 1800, 60
FILES = Path(__file__).with_name("harbor_task")


def write_task(folder: Path, environment: Environment, row: Row, image: str) -> None:
    """Write the folder of a task.

    Args:
        folder: where; made where it is missing.
        environment: whose task.
        row: of the task, as `task_rows` makes it.
        image: the server's container image.
    """
    files = {
        "instruction.md": instruction(row),
        "task.toml": config(environment, row),
        "environment/Dockerfile": f"FROM {BASE_IMAGE}\nWORKDIR /app\n",
        "environment/docker-compose.yaml": compose(environment, row, image),
        "tests/Dockerfile": f"FROM {BASE_IMAGE}\nCOPY test.sh /tests/test.sh\n",
        "tests/test.sh": (FILES / "test.sh").read_text(encoding="utf-8"),
        "solution/solve.sh": f'#!/bin/sh\nexec python3 "$(dirname "$0")/solve.py" {URL}\n',
        "solution/solve.py": (FILES / "solve.py").read_text(encoding="utf-8"),
        "solution/calls.json": json.dumps(calls(environment, row["reset"]), indent=1) + "\n",
    }
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        if path.suffix == ".sh":
            path.chmod(0o755)


def instruction(row: Row) -> str:
    """What the agent is told: the prompt of every model, and where its tools are."""
    words = "\n\n".join(message["content"].strip() for message in row["prompt"])
    return (
        f"{words}\n\nYour tools are those of an MCP server, which is configured for you; its "
        f"address is {URL}. There is one episode, and only what you do with these tools counts: "
        "files that you write are not read.\n"
    )


def config(environment: Environment, row: Row) -> str:
    """The text of task.toml."""
    described = f"{environment.title}, {row['task']}: {environment.description}"
    level = row.get("level") or environment.groups(row["reset"]).get("level", "")
    metadata: dict[str, Any] = {
        "environment": environment.name,
        "level": level,
        "difficulty": row["difficulty"],
        "group": row["group"],
    }
    versions = environment.versions
    return f"""\
schema_version = {_toml(SCHEMA_VERSION)}
artifacts = [{{ source = {_toml(OUTCOME)}, service = {_toml(SERVICE)} }}]

[task]
name = {_toml(f"{environment.name}/{row['task']}")}
description = {_toml(described)}
keywords = {_toml(row["tags"])}

[metadata]
{_lines(metadata)}

[metadata.versions]
{_lines(versions)}

[agent]
timeout_sec = {AGENT_TIMEOUT_S}

[verifier]
timeout_sec = {VERIFIER_TIMEOUT_S}
environment_mode = "separate"

[environment]

[[environment.mcp_servers]]
name = {_toml(environment.name)}
transport = "streamable-http"
url = {_toml(URL)}
"""


def compose(environment: Environment, row: Row, image: str) -> str:
    """The text of docker-compose.yaml: the server beside the agent's container."""
    versions = dict(environment.versions)
    task = json.dumps({"reset": row["reset"], "versions": versions}).replace("$", "$$")
    alive = f"import urllib.request as u; u.urlopen('http://127.0.0.1:{PORT}/health', timeout=2)"
    services = {
        "main": {"depends_on": {SERVICE: {"condition": "service_healthy"}}},
        SERVICE: {
            "image": image,
            "command": [
                *("python", "-m", "openenv_kit.serving.one_task"),
                *(task, "--outcome", OUTCOME),
            ],
            "environment": {"ENVIRONMENT": environment.name, "PORT": str(PORT)},
            "healthcheck": {
                "test": ["CMD", "python", "-I", "-c", alive],
                "interval": "2s",
                "timeout": "5s",
                "retries": 60,
            },
        },
    }
    return yaml.safe_dump({"services": services}, sort_keys=False, width=100)


def calls(environment: Environment, reset: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The reference's tool calls on an episode, in order."""
    session, reply = begun(environment, reset)
    called = (
        environment.tools.called(action)
        for action, _ in moves(session, environment.policies["reference"], reply)
    )
    return [{"name": name, "arguments": arguments} for name, arguments in called]


def guide_text(environment: Environment, image: str, tasks: int) -> str:
    """What stands beside the folders."""
    return f"""\
# {environment.title}: {tasks} Harbor tasks

{environment.description}

Build the server's image once, in a checkout of version {environment.version} of the repository:

```bash
docker build -t {image} .
```

Then run the folders, or one of them, with any agent; `--agent oracle` plays the reference:

```bash
harbor run --path . --agent oracle
```

The server refuses a task that was written for other versions. An agent with access to the internet
can find this environment's source, and from it the episodes of public splits: run with a network
policy where that matters.
"""


def _lines(table: Mapping[str, Any]) -> str:
    return "\n".join(f"{name} = {_toml(value)}" for name, value in table.items())


def _toml(value: Any) -> str:
    """A text, a number or a list of texts in TOML, whose strings these JSON strings are."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
