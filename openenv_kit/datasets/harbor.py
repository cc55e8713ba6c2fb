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

from openenv_kit.datasets.split_rows import TaskRow
from openenv_kit.environment import Environment
from openenv_kit.rollouts.run_policy import iter_policy_steps, start_session

HARBOR_SCHEMA_VERSION = "1.4"
BASE_IMAGE = "python:3.11-slim"
"""Of the agent's container and the verifier's; both need Python's standard library alone."""
SERVER_SERVICE, SERVER_PORT = "server", 8000
MCP_URL = f"http://{SERVER_SERVICE}:{SERVER_PORT}/mcp"
OUTCOME_PATH = "/tmp/outcome.json"
"""In the server's container, and again in the verifier's."""
AGENT_TIMEOUT_S, VERIFIER_TIMEOUT_S = 1800, 60
TEMPLATE_FOLDER = Path(__file__).with_name("harbor_task")


def write_harbor_task(
    folder: Path, environment: Environment, row: TaskRow, server_image: str
) -> None:
    """Write the folder of a task.

    Args:
        folder: where; made where it is missing.
        environment: whose task.
        row: of the task, as `iter_export_rows` makes it.
        server_image: the server's container image.
    """
    files = {
        "instruction.md": build_instruction(row),
        "task.toml": build_task_toml(environment, row),
        "environment/Dockerfile": f"FROM {BASE_IMAGE}\nWORKDIR /app\n",
        "environment/docker-compose.yaml": build_docker_compose(environment, row, server_image),
        "tests/Dockerfile": f"FROM {BASE_IMAGE}\nCOPY test.sh /tests/test.sh\n",
        "tests/test.sh": (TEMPLATE_FOLDER / "test.sh").read_text(encoding="utf-8"),
        "solution/solve.sh": f'#!/bin/sh\nexec python3 "$(dirname "$0")/solve.py" {MCP_URL}\n',
        "solution/solve.py": (TEMPLATE_FOLDER / "solve.py").read_text(encoding="utf-8"),
        "solution/calls.json": json.dumps(
            list_reference_tool_calls(environment, row["reset"]), indent=1
        )
        + "\n",
    }
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        if path.suffix == ".sh":
            path.chmod(0o755)


def build_instruction(row: TaskRow) -> str:
    """What the agent is told: the prompt of every model, and where its tools are."""
    words = "\n\n".join(message["content"].strip() for message in row["prompt"])
    return (
        f"{words}\n\nYour tools are those of an MCP server, which is configured for you; its "
        f"address is {MCP_URL}. There is one episode, and only what you do with these tools "
        "counts: files that you write are not read.\n"
    )


def build_task_toml(environment: Environment, row: TaskRow) -> str:
    """The text of task.toml."""
    described = f"{environment.title}, {row['task']}: {environment.description}"
    level = row.get("level") or environment.result_labels(row["reset"]).get("level", "")
    metadata: dict[str, Any] = {
        "environment": environment.name,
        "level": level,
        "difficulty": row["difficulty"],
        "group": row["group"],
    }
    versions = environment.versions
    outcome_path = _format_toml_value(OUTCOME_PATH)
    service_name = _format_toml_value(SERVER_SERVICE)
    return f"""\
schema_version = {_format_toml_value(HARBOR_SCHEMA_VERSION)}
artifacts = [{{ source = {outcome_path}, service = {service_name} }}]

[task]
name = {_format_toml_value(f"{environment.name}/{row['task']}")}
description = {_format_toml_value(described)}
keywords = {_format_toml_value(row["tags"])}

[metadata]
{_format_toml_lines(metadata)}

[metadata.versions]
{_format_toml_lines(versions)}

[agent]
timeout_sec = {AGENT_TIMEOUT_S}

[verifier]
timeout_sec = {VERIFIER_TIMEOUT_S}
environment_mode = "separate"

[environment]

[[environment.mcp_servers]]
name = {_format_toml_value(environment.name)}
transport = "streamable-http"
url = {_format_toml_value(MCP_URL)}
"""


def build_docker_compose(environment: Environment, row: TaskRow, server_image: str) -> str:
    """The text of docker-compose.yaml: the server beside the agent's container."""
    versions = dict(environment.versions)
    task = json.dumps({"reset": row["reset"], "versions": versions}).replace("$", "$$")
    alive = (
        f"import urllib.request as u; u.urlopen('http://127.0.0.1:{SERVER_PORT}/health', timeout=2)"
    )
    services = {
        "main": {"depends_on": {SERVER_SERVICE: {"condition": "service_healthy"}}},
        SERVER_SERVICE: {
            "image": server_image,
            "command": [
                *("python", "-m", "openenv_kit.serving.one_task"),
                *(task, "--outcome", OUTCOME_PATH),
            ],
            "environment": {"ENVIRONMENT": environment.name, "PORT": str(SERVER_PORT)},
            "healthcheck": {
                "test": ["CMD", "python", "-I", "-c", alive],
                "interval": "2s",
                "timeout": "5s",
                "retries": 60,
            },
        },
    }
    return yaml.safe_dump({"services": services}, sort_keys=False, width=100)


def list_reference_tool_calls(
    environment: Environment, reset_arguments: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """The reference's tool calls on an episode, in order."""
    session, reply = start_session(environment, reset_arguments)
    called = (
        environment.tools.tool_call_of_action(action)
        for action, _ in iter_policy_steps(session, environment.policies["reference"], reply)
    )
    return [{"name": name, "arguments": arguments} for name, arguments in called]


def build_readme(environment: Environment, server_image: str, task_count: int) -> str:
    """What stands beside the folders."""
    return f"""\
# {environment.title}: {task_count} Harbor tasks

{environment.description}

Build the server's image once, in a checkout of version {environment.version} of the repository:

```bash
docker build -t {server_image} .
```

Then run the folders, or one of them, with any agent; `--agent oracle` plays the reference:

```bash
harbor run --path . --agent oracle
```

The server refuses a task that was written for other versions. An agent with access to the internet
can find this environment's source, and from it the episodes of public splits: run with a network
policy where that matters.
"""


def _format_toml_lines(table: Mapping[str, Any]) -> str:
    return "\n".join(f"{name} = {_format_toml_value(value)}" for name, value in table.items())


def _format_toml_value(value: Any) -> str:
    """A text, a number or a list of texts in TOML, whose strings these JSON strings are."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
