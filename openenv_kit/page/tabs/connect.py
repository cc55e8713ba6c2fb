"""Builds the Connect tab of the debugger: code snippets that connect a client to this server.

The snippets are the files in `examples/connect`, which the documentation shows and the tests run.
The server, environment, task and call in these files are examples; the tab replaces them with
those of this server.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

from openenv_kit.environment import DEFAULT_ENVIRONMENT, Environment, list_default_task_names
from openenv_kit.page.components.elements import heading_html
from openenv_kit.page.events import unstyled_html_component
from openenv_kit.rollouts.run_policy import iter_policy_steps, start_session
from openenv_kit.tool import ToolCall
from openenv_kit.variables import SERVER_TOKEN_VARIABLE

SCRIPT = Path(__file__).parents[1] / "static" / "connect.js"
PACKAGED_FOLDER = Path(__file__).parents[1] / "connect"
"""Folder of the snippets in an installed package."""
CHECKOUT_FOLDER = Path(__file__).parents[3] / "examples" / "connect"
"""Folder of the snippets in a checkout."""
EXAMPLE_ADDRESS = "http://localhost:8000"
EXAMPLE_TASK = "easy_single_spike"
EXAMPLE_PYTHON_CALL, EXAMPLE_ACTION = '"task_overview", {}', '{"analysis_method": "task_overview"}'


INSTALLATION_HTML = (
    "Start with the Python client. Install it with "
    "<code>pip install openenv-metric-tracker-rl</code>, or run the snippets in a clone of the "
    "repository with <code>uv run python</code>. curl needs no installation."
)


class Snippet(NamedTuple):
    """A code snippet.

    Attributes:
        filename: name of the file.
        title: client that the snippet connects.
        description: what the snippet does, in one sentence.
    """

    filename: str
    title: str
    description: str


SNIPPETS = (
    Snippet("python_client.py", "Python client", "Starts an episode and calls a tool."),
    Snippet("inference.sh", "inference.py", "A model plays a task, and the rollout is recorded."),
    Snippet("train_with_trl.py", "TRL", "GRPO on the train split; every rollout is recorded."),
    Snippet("evaluate_with_verifiers.py", "verifiers", "Evaluates a model on two tasks."),
    Snippet("mcp.json", "MCP client", "Configuration for clients that read mcpServers."),
    Snippet("curl.sh", "curl", "The HTTP routes, without any library."),
)


def build_connect_tab(environment: Environment, *, has_token: bool) -> None:
    """Build the Connect tab.

    Args:
        environment: environment of the page.
        has_token: whether the server requires a token.
    """
    unstyled_html_component(
        connect_html(environment, has_token=has_token),
        js_on_load=SCRIPT.read_text(encoding="utf-8"),
        elem_id="mt-connect",
    )


def connect_html(environment: Environment, *, has_token: bool) -> str:
    """Return the snippets. The page's script replaces the example URL with the server's URL."""
    token = (
        f"This server requires a token: set <code>{SERVER_TOKEN_VARIABLE}</code> first."
        if has_token
        else "This server requires no token."
    )
    items = "".join(
        _snippet_html(snippet, text)
        for snippet, text in build_snippets(environment, has_token=has_token).items()
    )
    return (
        f"{heading_html('Connect', 'The same episodes, played by your agent or trainer.')}"
        f'<p class="mt-hint">{INSTALLATION_HTML} {token}</p><div class="mt-snippets">{items}</div>'
    )


def build_snippets(environment: Environment, *, has_token: bool) -> Mapping[Snippet, str]:
    """Return the text of each snippet for an environment, with the example address.

    Args:
        environment: the environment.
        has_token: whether the server requires a token; otherwise lines about it are omitted.
    """
    task = list_default_task_names(environment)[0]
    call, action = _find_first_call(environment, task)
    replacements = {
        EXAMPLE_PYTHON_CALL: f"{json.dumps(call.name)}, {_python_literal(call.arguments)}",
        EXAMPLE_ACTION: json.dumps(action).replace("'", r"'\''"),
        DEFAULT_ENVIRONMENT: environment.name,
        EXAMPLE_TASK: task,
    }
    texts = {}
    for snippet in SNIPPETS:
        text = read_snippet(snippet.filename)
        for example, value in replacements.items():
            text = text.replace(example, value)
        if not has_token:
            lines = text.splitlines(keepends=True)
            text = "".join(line for line in lines if SERVER_TOKEN_VARIABLE not in line)
        texts[snippet] = text
    return texts


def read_snippet(filename: str) -> str:
    """Return the text of a snippet's file."""
    folder = PACKAGED_FOLDER if PACKAGED_FOLDER.is_dir() else CHECKOUT_FOLDER
    return (folder / filename).read_text(encoding="utf-8")


class _FirstCall(NamedTuple):
    """First tool call of the reference policy and the corresponding action."""

    call: ToolCall
    action: dict[str, Any]


def _find_first_call(environment: Environment, task_name: str) -> _FirstCall:
    reset = environment.reset_arguments_by_task_id[task_name]
    session, reply = start_session(environment, reset)
    policy = environment.policies["reference"]
    action = next(iter_policy_steps(session, policy, reply)).action
    return _FirstCall(environment.tools.tool_call_of_action(action), action)


def _python_literal(value: Any) -> str:
    """Return JSON values as Python code with double quotes, as in the rest of the snippet."""
    text = json.dumps(value)
    if any(word in text for word in ("true", "false", "null")):
        return repr(value)
    return text


def _snippet_html(snippet: Snippet, text: str) -> str:
    title = escape(snippet.title)
    return (
        f'<section class="mt-snippet" id="mt-snippet-{escape(snippet.filename)}"><header>'
        f"<h3>{title}</h3><p>{escape(snippet.description)}</p>"
        f'<button type="button" class="mt-btn" data-copy aria-label="Copy {title}">Copy</button>'
        f'</header><pre tabindex="0" role="region" aria-label="{title}"><code>'
        f"{escape(text)}</code></pre></section>"
    )
