"""A chat-completions endpoint answered by a scripted policy, to try a setup without a model.

```python
with ScriptedEndpoint("reference") as endpoint:
    print(endpoint.base_url)  # give this to any client of a chat endpoint
```

The endpoint listens on loopback and needs no key. It keeps no state of an episode: like a model, it
derives the next tool call from the tool results in the chat.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from openenv_kit.environment import get_environment
from openenv_kit.errors import require_name
from openenv_kit.tool import ToolCall
from openenv_kit.trainers.chat_messages import list_message_texts_of_role
from openenv_kit.trainers.scripted_calls import get_next_scripted_call

MODEL = "scripted"
ROUTE = "/chat/completions"


class ScriptedEndpoint:
    """Serves the tool calls of one scripted policy while the context lasts.

    Args:
        policy: name of the policy.
        environment: name of the environment; None for the default one.
        delay_s: wait before each completion, as a model would take.

    Attributes:
        requests: number of chats answered so far.

    Raises:
        UnknownNameError: the environment has no such policy.
    """

    def __init__(
        self, policy: str = "reference", environment: str | None = None, *, delay_s: float = 0.0
    ) -> None:
        require_name("policy", policy, get_environment(environment).policies)
        self.requests = 0
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                if not self.path.endswith(ROUTE):
                    self.send_error(404, f"only {ROUTE} is served")
                    return
                length = int(self.headers.get("content-length", 0))
                request = json.loads(self.rfile.read(length))
                endpoint.requests += 1
                messages = request["messages"]
                call = get_next_scripted_call(
                    policy,
                    list_message_texts_of_role(messages, "tool"),
                    environment,
                    "\n".join(list_message_texts_of_role(messages, "user")),
                )
                time.sleep(delay_s)
                completion = build_completion(call, endpoint.requests)
                content_type, body = "application/json", json.dumps(completion)
                if request.get("stream"):
                    content_type, body = "text/event-stream", format_as_events(completion)
                self.send_response(200)
                self.send_header("content-type", content_type)
                self.send_header("content-length", str(len(body.encode())))
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_: Any) -> None:
                """Log nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def base_url(self) -> str:
        """Base URL for clients."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> ScriptedEndpoint:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def build_completion(tool_call: ToolCall | None, request_number: int) -> dict[str, Any]:
    """Return a chat completion with the tool call, or with the text "Done." for None."""
    message: dict[str, Any] = {"role": "assistant", "content": "Done."}
    finish_reason = "stop"
    if tool_call is not None:
        function = {"name": tool_call.name, "arguments": json.dumps(tool_call.arguments)}
        call_json = {"id": f"call_{request_number}", "type": "function", "function": function}
        message = {"role": "assistant", "content": "", "tool_calls": [call_json]}
        finish_reason = "tool_calls"
    return {
        "id": f"chatcmpl-{request_number}",
        "object": "chat.completion",
        "created": 0,
        "model": MODEL,
        "choices": [{"index": 0, "message": message, "finish_reason": finish_reason}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }


def format_as_events(chat_completion: Mapping[str, Any]) -> str:
    """Return a completion as server-sent events, for clients that request a stream."""
    (choice,) = chat_completion["choices"]
    delta = dict(choice["message"])
    if "tool_calls" in delta:
        delta["tool_calls"] = [{"index": 0, **call} for call in delta["tool_calls"]]
    chunk_choice = {"index": 0, "delta": delta, "finish_reason": choice["finish_reason"]}
    head = {**chat_completion, "object": "chat.completion.chunk"}
    chunks = [{**head, "choices": [chunk_choice], "usage": None}, {**head, "choices": []}]
    return "".join(f"data: {text}\n\n" for text in [*map(json.dumps, chunks), "[DONE]"])
