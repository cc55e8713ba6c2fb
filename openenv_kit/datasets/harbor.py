"""Writes tasks as Harbor folders, so that command-line agents can play them over MCP.

A folder contains the instruction, the agent's container, a container with the environment's server,
a verifier and the tool calls of the reference policy:

```
test-3/
  instruction.md            system prompt and first user message
  task.toml                 address of the tools, collected files, versions
  environment/              Dockerfile of the agent; docker-compose.yaml adds the server
  tests/                    Dockerfile and test.sh of the verifier, which has its own container
  solution/                 solve.sh runs the reference policy's calls
```

The agent cannot reach the episode, its labels or its outcome: they are in the server's container.
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
from openenv_kit.tool import ToolCall

HARBOR_SCHEMA_VERSION = "1.4"
BASE_IMAGE = "python:3.11-slim"
"""Image of the agent's and the verifier's containers, which need only the standard library."""
SERVER_SERVICE = "server"
SERVER_PORT = 8000
MCP_URL = f"http://{SERVER_SERVICE}:{SERVER_PORT}/mcp"
OUTCOME_PATH = "/tmp/outcome.json"
"""Path of the episode's outcome, in the server's container and in the verifier's container."""
AGENT_TIMEOUT_S = 1800
VERIFIER_TIMEOUT_S = 60
TEMPLATE_FOLDER = Path(__file__).with_name("harbor_task")


def write_harbor_task(
    folder: Path, environment: Environment, row: TaskRow, server_image: str
) -> None:
    """Write the Harbor folder of a task.

    Args:
        folder: the folder; it is created if it does not exist.
        environment: the environment.
        row: the task's row, as `iter_export_rows` yields it.
        server_image: container image of the server.
    """
    reference_calls = [
        {"name": call.name, "arguments": call.arguments}
        for call in list_reference_tool_calls(environment, row["reset"])
    ]
    text_by_path = {
        "instruction.md": build_harbor_instruction(row),
        "task.toml": build_task_toml(environment, row),
        "environment/Dockerfile": f"FROM {BASE_IMAGE}\nWORKDIR /app\n",
        "environment/docker-compose.yaml": build_docker_compose(environment, row, server_image),
        "tests/Dockerfile": f"FROM {BASE_IMAGE}\nCOPY test.sh /tests/test.sh\n",
        "tests/test.sh": (TEMPLATE_FOLDER / "test.sh").read_text(encoding="utf-8"),
        "solution/solve.sh": f'#!/bin/sh\nexec python3 "$(dirname "$0")/solve.py" {MCP_URL}\n',
        "solution/solve.py": (TEMPLATE_FOLDER / "solve.py").read_text(encoding="utf-8"),
        "solution/calls.json": json.dumps(reference_calls, indent=1) + "\n",
    }
    for name, text in text_by_path.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        if path.suffix == ".sh":
            path.chmod(0o755)


def build_harbor_instruction(row: TaskRow) -> str:
    """Return the text of instruction.md: the model's prompt and the address of the tools."""
    prompt = "\n\n".join(message["content"].strip() for message in row["prompt"])
    return (
        f"{prompt}\n\nYour tools are provided by an MCP server, which is already configured; its "
        f"address is {MCP_URL}. There is one episode. Only your calls of these tools count; files "
        "that you write are not read.\n"
    )


def build_task_toml(environment: Environment, row: TaskRow) -> str:
    """Return the text of task.toml: metadata, timeouts and the address of the MCP server."""
    description = f"{environment.title}, {row['task']}: {environment.description}"
    level = row.get("level") or environment.build_result_labels(row["reset"]).get("level", "")
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
description = {_format_toml_value(description)}
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
    """Return the text of docker-compose.yaml, which adds the server to the agent's container."""
    versions = dict(environment.versions)
    task = json.dumps({"reset": row["reset"], "versions": versions}).replace("$", "$$")
    health_check = (
        f"import urllib.request as u; u.urlopen('http://127.0.0.1:{SERVER_PORT}/health', timeout=2)"
    )
    services = {
        "main": {"depends_on": {SERVER_SERVICE: {"condition": "service_healthy"}}},
        SERVER_SERVICE: {
            "image": server_image,
            "command": [
                "python",
                "-m",
                "openenv_kit.serving.one_task",
                task,
                "--outcome",
                OUTCOME_PATH,
            ],
            "environment": {"ENVIRONMENT": environment.name, "PORT": str(SERVER_PORT)},
            "healthcheck": {
                "test": ["CMD", "python", "-I", "-c", health_check],
                "interval": "2s",
                "timeout": "5s",
                "retries": 60,
            },
        },
    }
    return yaml.safe_dump({"services": services}, sort_keys=False, width=100)


def list_reference_tool_calls(
    environment: Environment, reset_arguments: Mapping[str, Any]
) -> list[ToolCall]:
    """Run the reference policy on an episode and return its tool calls in order."""
    session, reset_reply = start_session(environment, reset_arguments)
    steps = iter_policy_steps(session, environment.policies["reference"], reset_reply)
    return [environment.tools.tool_call_of_action(step.action) for step in steps]


def build_harbor_readme(environment: Environment, server_image: str, task_count: int) -> str:
    """Return the text of the README in the folder that contains the task folders."""
    return f"""\
# {environment.title}: {task_count} Harbor tasks

{environment.description}

Build the server's image once, in a checkout of version {environment.version} of the repository:

```bash
docker build -t {server_image} .
```

Then run one or all of the folders with any agent; `--agent oracle` runs the reference policy:

```bash
harbor run --path . --agent oracle
```

The server rejects a task that was written for other versions. An agent with access to the internet
can find the source code of this environment, and with it generate the episodes of public splits.
Use a network policy to prevent this.
"""


def _format_toml_lines(table: Mapping[str, Any]) -> str:
    return "\n".join(f"{name} = {_format_toml_value(value)}" for name, value in table.items())


def _format_toml_value(value: Any) -> str:
    """Format a string, a number or a list of strings as TOML."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
