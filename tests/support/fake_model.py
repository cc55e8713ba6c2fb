"""A local OpenAI-compatible server that plays scripted models; the model's name picks the script.

The good model is the reference policy: each request holds the whole conversation, so the policy
is started anew, fed with the tool results in it, and its next action becomes the tool call.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from metric_tracker_rl.policies import get_policy
from support.model_request_rules import problems_of

Json = dict[str, Any]
Reply = tuple[int, dict[str, str], bytes | Iterator[bytes]]
Script = Callable[["FakeModel", Json], Reply]


class FakeModel(ThreadingHTTPServer):
    """The server; records the requests."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests: list[Json] = []
        self.keys: list[str] = []
        self.problems: list[str] = []
        self.counts: Counter[str] = Counter()
        self.delay_s = 0.0
        self.before_answer: Callable[[int], None] = lambda _: None
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


@contextmanager
def fake_model() -> Iterator[FakeModel]:
    server = FakeModel()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert not server.problems, server.problems


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FakeModel

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.requests.append(request)
            self.server.keys.append(self.headers.get("Authorization", ""))
            self.server.counts[request["model"]] += 1
            number = len(self.server.requests)
            self.server.problems += [
                f"request {number} of {request['model']}: {each}" for each in problems_of(request)
            ]
        if self.path.startswith("/moved/"):
            there = f"{self.server.url}/chat/completions"
            status, headers, body = 301, {"Location": there}, b""
        elif self.path != "/v1/chat/completions":
            status, headers, body = refusal(404, f"no such path: {self.path}")
        else:
            self.server.before_answer(number)
            time.sleep(self.server.delay_s)
            script = SCRIPTS.get(request["model"], unknown_model)
            status, headers, body = script(self.server, request)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if isinstance(body, bytes):
            self.send_header("Content-Length", str(len(body)))
        else:
            self.close_connection = True
        self.end_headers()
        with suppress(ConnectionError):  # the client may have given up waiting
            for part in [body] if isinstance(body, bytes) else body:
                self.wfile.write(part)

    def do_GET(self) -> None:
        """Reject the GET into which clients turn a redirected request."""
        self.send_response(405)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


SCRIPTS: dict[str, Script] = {}


def script(function: Script) -> Script:
    SCRIPTS[function.__name__.replace("_", "-")] = function
    return function


def answer(
    *calls: tuple[str, Any], text: str | None = None, finish: str = "tool_calls", **message: Any
) -> Reply:
    """Return a chat completion with tool calls; arguments given as text stay unchanged."""
    if calls:
        message["tool_calls"] = [
            {
                "id": f"call_{number}",
                "type": "function",
                "function": {
                    "name": name,
                    "arguments": given if isinstance(given, str) else json.dumps(given),
                },
            }
            for number, (name, given) in enumerate(calls)
        ]
    choice = {
        "index": 0,
        "finish_reason": finish,
        "message": {"role": "assistant", "content": text, **message},
    }
    return completion([choice])


def completion(choices: Any, prompt_tokens: int = 4000) -> Reply:
    counted = {"prompt_tokens": prompt_tokens, "completion_tokens": 50}
    return as_json(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": "fake",
            "choices": choices,
            "usage": {**counted, "total_tokens": prompt_tokens + 50},
        }
    )


def as_json(value: Any, status: int = 200, **headers: str) -> Reply:
    return status, {"Content-Type": "application/json", **headers}, json.dumps(value).encode()


def refusal(status: int, message: str, code: str | None = None, **headers: str) -> Reply:
    return as_json({"error": {"message": message, "code": code, "type": "x"}}, status, **headers)


def results_by_call(request: Json) -> dict[str, Any]:
    """Return the tool results of a conversation by name and arguments of their calls."""
    found: dict[str, Any] = {}
    asked: dict[str, str] = {}
    for message in request["messages"]:
        for call in message.get("tool_calls", []):
            function = call["function"]
            asked[call["id"]] = key(function["name"], json.loads(function["arguments"]))
        if message["role"] == "tool":
            content = tool_result(message)
            found[asked[message["tool_call_id"]]] = content.get("result", content)
    return found


def key(name: str, arguments: Any) -> str:
    return f"{name}({json.dumps(arguments, sort_keys=True)})"


def next_call(request: Json) -> tuple[str, Any]:
    """Return the next call of the reference policy, given the conversation."""
    known = results_by_call(request)
    moves = get_policy("reference").generate_actions({})
    action = next(moves)
    while "analysis_method" in action:
        call = action["analysis_method"], action["analysis_args"]
        if key(*call) not in known:
            return call
        action = moves.send({"analysis_result": {"result": known[key(*call)]}})
    return "submit_solution", {"rows": action["classifications"]}


def last_results(request: Json) -> list[Any]:
    """Return the contents of the tool messages after the last answer."""
    found: list[Any] = []
    for message in request["messages"]:
        if message["role"] == "assistant":
            found = []
        elif message["role"] == "tool":
            found.append(tool_result(message))
    return found


def tool_result(message: Json) -> Any:
    """Decode a tool message; a notice may follow the result."""
    return json.JSONDecoder().raw_decode(message["content"])[0]


@script
def good(_: FakeModel, request: Json) -> Reply:
    return answer(next_call(request))


@script
def parallel(_: FakeModel, request: Json) -> Reply:
    """Make all calls in two answers, then submit."""
    known = results_by_call(request)
    if not known:
        return answer(
            ("task_overview", {}),
            ("get_metric_median", {}),
            ("list_suspicious_dates", {"limit": 10, "offset": 0}),
            ("list_dates", {}),
        )
    dates = known[key("list_dates", {})]["dates"]
    if key("rows_for_date", {"date": dates[0]}) not in known:
        return answer(*(("rows_for_date", {"date": date}) for date in dates))
    return answer(next_call(request))


@script
def submits_then_goes_on(_: FakeModel, __: Json) -> Reply:
    return answer(
        ("submit_solution", {"rows": []}), ("list_dates", {}), ("submit_solution", {"rows": []})
    )


@script
def generator(_: FakeModel, __: Json) -> Reply:
    method = {"method_name": "median_filter", "threshold_multiplier": 2.0}
    return answer(
        ("payload_generator", {"generator_methods": [method]}),
        ("submit_payload_generator", {"generator_methods": [method]}),
    )


@script
def never_submits(_: FakeModel, __: Json) -> Reply:
    return answer(text="I think that all is well.", finish="stop")


@script
def never_stops(_: FakeModel, __: Json) -> Reply:
    return answer(("list_dates", {}))


@script
def needs_a_reminder(_: FakeModel, request: Json) -> Reply:
    reminded = request["messages"][-1]["role"] == "user" and len(request["messages"]) > 2
    call = next_call(request)
    if call[0] == "submit_solution" and not reminded:
        return answer(text="Done: two anomalies.", finish="stop")
    return answer(call)


@script
def broken_json(_: FakeModel, request: Json) -> Reply:
    """First make invalid calls of every kind, then play well."""
    if len(request["messages"]) == 2:
        return answer(
            ("rows_for_date", '{"date": "2024-09-14"'),
            ("rows_for_date", "[1, 2]"),
            ("show_me_everything", {}),
            ("submit_solutoin", {"rows": []}),
            ("submit_solution", {"row": []}),
            ("submit_solution", {}),
            ("submit_solution", {"rows": "none"}),
            ("submit_payload_generator", {"generator_methods": []}),
            ("submit_payload_generator", {"generator_methods": ["median"]}),
            ("rows_for_date", {"day": "monday"}),
            ("", ""),
        )
    complaints = [each for each in last_results(request) if each.get("status") == "error"]
    if complaints and len(complaints) != 11:
        return refusal(400, f"expected 11 complaints, got {len(complaints)}")
    return answer(next_call_after_breaking(request))


def next_call_after_breaking(request: Json) -> tuple[str, Any]:
    messages = [request["messages"][0], request["messages"][1], *request["messages"][14:]]
    return next_call({"messages": messages})


@script
def rate_limited(server: FakeModel, request: Json) -> Reply:
    if server.counts["rate-limited"] % 3 == 1:
        return refusal(429, "Too many requests", **{"Retry-After": "0.01"})
    return good(server, request)


@script
def always_limited(_: FakeModel, __: Json) -> Reply:
    return refusal(429, "Too many requests", **{"Retry-After": "0.01"})


@script
def asks_for_an_hour(_: FakeModel, __: Json) -> Reply:
    return refusal(429, "Too many requests", **{"Retry-After": "3600"})


@script
def flaky(server: FakeModel, request: Json) -> Reply:
    codes = {1: 500, 2: 503, 4: 408, 6: 409}
    status = codes.get(server.counts["flaky"])
    return (
        refusal(status, "try later", **{"Retry-After": "0.01"}) if status else good(server, request)
    )


@script
def bad_key(server: FakeModel, __: Json) -> Reply:
    return refusal(401, f"Incorrect API key provided: {server.keys[-1]}", "invalid_api_key")


@script
def no_credits(server: FakeModel, __: Json) -> Reply:
    return refusal(402, f"You have no credits left, owner of {server.keys[-1]}")


@script
def forbidden(_: FakeModel, __: Json) -> Reply:
    return refusal(403, "not for you")


def unknown_model(_: FakeModel, request: Json) -> Reply:
    return refusal(404, f"The model {request['model']} does not exist", "model_not_found")


@script
def refuses_tools(_: FakeModel, __: Json) -> Reply:
    return refusal(400, "this model does not support tools")


@script
def newer_spelling(server: FakeModel, request: Json) -> Reply:
    if "max_tokens" in request:
        return refusal(400, "Use 'max_completion_tokens' instead of 'max_tokens'.")
    if "temperature" in request:
        return refusal(400, "Unsupported value: 'temperature' does not support 0.0")
    return good(server, request)


CONTEXT_OVERFLOWS = {
    "openai": {
        "message": "This model's maximum context length is 8192 tokens. However, your messages "
        "resulted in 9000 tokens. Please reduce the length of the messages.",
        "type": "invalid_request_error",
        "param": "messages",
        "code": "context_length_exceeded",
    },
    "vllm": {
        "message": "This model's maximum context length is 8192 tokens. However, your request has "
        "9000 input tokens. Please reduce the length of the input messages.",
        "type": "BadRequestError",
        "param": None,
        "code": 400,
    },
    "llama-cpp": {
        "code": 400,
        "message": "the request exceeds the available context size, try increasing it",
        "type": "exceed_context_size_error",
        "n_prompt_tokens": 9000,
        "n_ctx": 8192,
    },
}
"""Error objects of servers whose model has too little context for the conversation."""


def small_context(server_kind: str) -> Script:
    """Call tools until the context is full, then submit."""

    def run(_: FakeModel, request: Json) -> Reply:
        if len(json.dumps(request["messages"])) > 45_000:
            return as_json({"error": CONTEXT_OVERFLOWS[server_kind]}, 400)
        replies = [m for m in request["messages"] if m["role"] == "tool"]
        if len(replies) < 8:
            return answer(("list_suspicious_dates", {"limit": 28}))
        return answer(("submit_solution", {"rows": []}))

    return run


SCRIPTS |= {f"small-context-{kind}": small_context(kind) for kind in CONTEXT_OVERFLOWS}


@script
def tiny_context(_: FakeModel, __: Json) -> Reply:
    return refusal(400, "maximum context length exceeded", "context_length_exceeded")


@script
def hangs(_: FakeModel, __: Json) -> Reply:
    time.sleep(0.6)
    return answer(("list_dates", {}))


@script
def drips(_: FakeModel, __: Json) -> Reply:
    """Send white space and never an answer."""

    def parts() -> Iterator[bytes]:
        for _ in range(20):
            yield b" "
            time.sleep(0.05)

    return 200, {"Content-Type": "application/json"}, parts()


@script
def ignores_tools(_: FakeModel, request: Json) -> Reply:
    """Behave like a server whose chat template drops the tools."""
    seen = sum(len(str(message["content"])) for message in request["messages"])
    message = {"role": "assistant", "content": "Please show me the data."}
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    return completion([choice], prompt_tokens=seen // 4)


@script
def calls_once_then_talks(_: FakeModel, request: Json) -> Reply:
    if len(request["messages"]) == 2:
        return answer(("list_dates", {}))
    return answer(text="That will do.", finish="stop")


@script
def thinks_aloud(_: FakeModel, request: Json) -> Reply:
    """Return reasoning beside text, and stop without a submission."""
    if len(request["messages"]) == 2:
        return answer(
            ("list_dates", {}),
            ("rows_for_date", '{"date": "2024'),
            text="First the dates.",
            reasoning_content="I do not know yet which days there are.",
        )
    return answer(text="I give up.", finish="stop", reasoning_content="This is too hard.")


@script
def half_a_pair(_: FakeModel, request: Json) -> Reply:
    """Write half of a surrogate pair into every text field."""
    half = "\ud83d"
    if len(request["messages"]) == 2:
        calls = (("rows_for_date", {"date": f"2022-05-12{half}"}), (f"look{half}", {half: half}))
        return answer(*calls, text=f"Looking {half}", reasoning_content=half, extra={half: [half]})
    if len(request["messages"]) == 5:
        return answer(text=half, finish="stop")
    return answer(("submit_solution", {"rows": []}))


@script
def letters_of_elsewhere(_: FakeModel, request: Json) -> Reply:
    if len(request["messages"]) == 2:
        return answer(("列出日期", {"说明": "早"}), text="你好")
    return answer(("submit_solution", {"rows": []}))


FAILED_REPLIES: dict[str, Any] = {
    "error-object": {"error": {"message": "upstream overloaded", "code": 502}},
    "error-with-metadata": {
        "error": {
            "message": "Provider returned error",
            "code": "server_error",
            "metadata": {"raw": "upstream overloaded", "provider_name": "somebody"},
        }
    },
    "error-text": {"error": "upstream overloaded"},
    "error-in-list": [{"error": {"message": "upstream overloaded", "status": "UNAVAILABLE"}}],
    "error-of-vllm": {"object": "error", "message": "upstream overloaded", "code": 500},
    "error-of-anthropic": {"type": "error", "error": {"message": "upstream overloaded"}},
    "error-beside-choices": {"choices": [], "error": {"message": "upstream overloaded"}},
    "error-in-choice": {
        "choices": [
            {
                "finish_reason": "error",
                "error": {"message": "upstream overloaded", "code": 502},
                "message": {"role": "assistant", "content": "I was about to"},
            }
        ]
    },
    "error-as-finish-reason": {
        "choices": [
            {
                "finish_reason": "error",
                "native_finish_reason": "upstream overloaded",
                "message": {"role": "assistant", "content": ""},
            }
        ]
    },
    "no-message": {"choices": [{"finish_reason": "upstream overloaded"}]},
    "no-choices": {"choices": [], "detail": "upstream overloaded"},
    "other-object": {"detail": "upstream overloaded"},
    "text": "upstream overloaded",
}
"""Bodies of replies with status 200 that are no answers."""
EVENT_STREAM = b': waiting\n\ndata: {"error": {"message": "upstream overloaded"}}\n\n'


def fails_with(name: str, *, once: bool) -> Script:
    def run(server: FakeModel, request: Json) -> Reply:
        if once and server.counts[request["model"]] != 2:
            return good(server, request)
        if name == "event-stream":
            return 200, {"Content-Type": "text/event-stream"}, EVENT_STREAM
        return as_json(FAILED_REPLIES[name])

    return run


for reply_name in (*FAILED_REPLIES, "event-stream"):
    SCRIPTS[f"fails-{reply_name}"] = fails_with(reply_name, once=False)
    SCRIPTS[f"fails-once-{reply_name}"] = fails_with(reply_name, once=True)


@script
def sends_calls_in_every_form(_: FakeModel, request: Json) -> Reply:
    """Send valid calls in every form that servers use; the last one submits."""
    row = {"date": "2022-05-12", "entity_type": "event_count", "entity_name": "app_opens"}
    function_first = {"name": "rows_for_date", "arguments": {"date": "2022-05-12"}}
    forms: list[Json] = [
        {"id": None, "type": None, "function": function_first},
        {"id": "", "type": "function", "function": {"name": "list_dates", "arguments": None}},
        {"type": "function", "function": {"name": "list_dates", "arguments": "null"}},
        {"id": "a", "index": 0, "function": {"name": "list_dates", "arguments": ""}},
        {"id": "a", "function": {"name": "list_dates"}},
        {"id": 7, "function": {"name": "rows_for_date", "arguments": '"{\\"date\\": \\"x\\"}"'}},
        {"id": "b", "name": "list_dates", "arguments": {}},
        {"id": "c", "function": {"name": "list_suspicious_dates", "arguments": {"limit": "3"}}},
        {
            "id": "d",
            "function": {
                "name": "preview_submission",
                "arguments": {"rows": json.dumps([row, json.dumps(row)])},
            },
        },
    ]
    if len(request["messages"]) == 2:
        return answer(tool_calls=forms)
    if len(request["messages"]) < 14:
        single = {"id": "a", "function": {"name": "list_dates", "arguments": {}}}
        return answer(tool_calls=single)  # one object instead of a list
    return answer(
        tool_calls=[
            {"id": "a", "function": {"name": "submit_solution", "arguments": {"rows": "[]"}}}
        ]
    )


TEXT_CALLS = {
    "hermes": '<tool_call>\n{"name": "list_dates", "arguments": {}}\n</tool_call>',
    "mistral": '[TOOL_CALLS][{"name": "list_dates", "arguments": {}}]',
    "llama": "<|python_tag|>list_dates.call()",
    "functions": "<function=list_dates>{}</function>",
    "deepseek": "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>list_dates",
    "anthropic": '<function_calls><invoke name="list_dates"></invoke></function_calls>',
    "json": 'Sure!\n```json\n{"name": "list_dates", "parameters": {}}\n```',
    "python": "[list_dates()]",
    "react": "Thought: I need dates.\nAction: list_dates\nAction Input: {}",
    "after-thinking": "<think>Hm.</think><tool_call>{}</tool_call>",
}
"""Tool calls as text, in the formats that models write."""


def writes_calls_as_text(form: str) -> Script:
    return lambda _, __: answer(text=TEXT_CALLS[form], finish="stop")


SCRIPTS |= {f"text-call-{form}": writes_calls_as_text(form) for form in TEXT_CALLS}


@script
def submits_once(server: FakeModel, _: Json) -> Reply:
    """Submit at the first request, then have no credits."""
    if len(server.requests) > 1:
        return refusal(402, "You have no credits left")
    return answer(("submit_solution", {"rows": []}))


@script
def says_nothing(_: FakeModel, request: Json) -> Reply:
    """First answer nothing, then only reasoning, then submit."""
    if len(request["messages"]) == 2 and "only reminder" not in str(request["messages"]):
        return answer(text="", finish="stop", reasoning_content="Hm.")
    return answer(("submit_solution", {"rows": []}), text=" \n")


@script
def talks_in_between(_: FakeModel, request: Json) -> Reply:
    """Alternate between calls and text, so that all orders of roles occur."""
    kinds = [message["role"] for message in request["messages"]]
    if "tool" in kinds and "user" not in kinds[2:]:
        return answer(text="Let me think.", finish="stop")
    return answer(("list_dates", {}), ("list_dates", {}))


def wants_key(status: int, error: Json) -> Script:
    """Play well if the request has the right key."""

    def run(server: FakeModel, request: Json) -> Reply:
        if server.keys[-1] != "Bearer the-right-key":
            return as_json({"error": error}, status)
        return good(server, request)

    return run


SCRIPTS |= {
    "wants-key-openai": wants_key(401, {"message": "Incorrect API key", "code": "invalid_api_key"}),
    "wants-key-gemini": wants_key(400, {"message": "API key not valid. Please pass a valid key."}),
    "wants-credits": wants_key(402, {"message": "Insufficient Balance"}),
    "wants-credits-anthropic": wants_key(400, {"message": "Your credit balance is too low"}),
    "wants-quota": wants_key(429, {"message": "You have no quota", "code": "insufficient_quota"}),
}

TOKEN_LIMIT_WORDINGS = {
    "openai": "max_tokens is too large: {asked}. This model supports at most {limit} completion "
    "tokens, whereas you provided {asked}.",
    "anthropic": "max_tokens: {asked} > {limit}, which is the maximum allowed number of output "
    "tokens for claude-3-opus-20240229",
    "deepseek": "Invalid max_tokens value, the valid range of max_tokens is [1, {limit}]",
    "groq": "`max_tokens` must be less than or equal to `{limit}`, the maximum value for "
    "`max_tokens` is less than the `context_window` for this model",
    "gemini": "Unable to submit request because it has a maxOutputTokens value of {asked} but the "
    "supported range is from 1 (inclusive) to {limit_exclusive} (exclusive).",
    "bedrock": "The maximum tokens you requested exceeds the model limit of {limit}. Try again "
    "with a maximum tokens value that is lower than {limit_exclusive}.",
    "vllm-1": "This model's maximum context length is {context} tokens. However, you requested "
    "{total} tokens ({prompt} in the messages, {asked} in the completion). Please reduce the "
    "length of the messages or completion.",
    "vllm-2": "'max_tokens' or 'max_completion_tokens' is too large: {asked}. This model's maximum "
    "context length is {context} tokens and your request has {prompt} input tokens ({asked} > "
    "{context} - {prompt}).",
    "vllm-3": "This model's maximum context length is {context} tokens. However, you requested "
    "{asked} output tokens and your prompt contains at least {prompt} input tokens, for a total "
    "of at least {total} tokens. Please reduce the length of the input prompt.",
    "sglang": "Requested token count exceeds the model's maximum context length of {context} "
    "tokens. You requested a total of {total} tokens: {prompt} tokens from the input messages and "
    "{asked} tokens for the completion.",
    "tgi": "`inputs` tokens + `max_new_tokens` must be <= {context}. Given: {prompt} `inputs` "
    "tokens and {asked} `max_new_tokens`",
    "anthropic-context": "input length and `max_tokens` exceed context limit: {prompt} + {asked} > "
    "{context}, decrease input length or `max_tokens` and try again",
    "openrouter": "This endpoint's maximum context length is {context} tokens. However, you "
    "requested about {total} tokens ({prompt} of text input, {asked} in the output).",
    "no-number": "The number of output tokens is too large.",
}
"""How servers refuse a MAX_TOKENS that is too large for them."""
ANSWER_LIMIT, PROMPT_TOKENS = 1900, 6292
"""Most tokens of an answer, and tokens of each prompt, of the servers with these wordings."""


def limits_tokens(wording: str, status: int = 400) -> Script:
    def run(server: FakeModel, request: Json) -> Reply:
        asked = request.get("max_tokens") or request["max_completion_tokens"]
        if asked <= ANSWER_LIMIT:
            return good(server, request)
        numbers = {
            **{"asked": asked, "limit": ANSWER_LIMIT, "limit_exclusive": ANSWER_LIMIT + 1},
            **{"prompt": PROMPT_TOKENS, "context": PROMPT_TOKENS + ANSWER_LIMIT},
            **{"total": PROMPT_TOKENS + asked},
        }
        return refusal(status, wording.format(**numbers))

    return run


SCRIPTS |= {
    f"limits-tokens-{name}": limits_tokens(text) for name, text in TOKEN_LIMIT_WORDINGS.items()
}


@script
def allows_few_tokens(server: FakeModel, request: Json) -> Reply:
    if request["max_tokens"] > 100:
        return refusal(400, "max_tokens is too large for your plan.")
    return good(server, request)


@script
def thinks_as_long_as_it_may(server: FakeModel, request: Json) -> Reply:
    time.sleep(request["max_tokens"] / 4096)
    return answer(("submit_solution", {"rows": []}))


@script
def forgets_a_field(server: FakeModel, request: Json) -> Reply:
    """Send a field that is rejected when it is sent back, as Groq does."""
    if any("reasoning" in message for message in request["messages"]):
        words = "'messages.2' : property 'reasoning' is unsupported, did you mean 'role'?"
        return refusal(400, words)
    return answer(next_call(request), reasoning="Let me see.")


def refuses_with(status: int, words: str, *, after_calls: int = 0) -> Script:
    def run(server: FakeModel, request: Json) -> Reply:
        if len(results_by_call(request)) >= after_calls:
            return refusal(status, words)
        return good(server, request)

    return run


SCRIPTS |= {
    "needs-parser-vllm": refuses_with(
        400,
        '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set',
    ),
    "needs-jinja": refuses_with(500, "tools param requires --jinja flag"),
    "no-tools-at-router": refuses_with(404, "No endpoints found that support tool use."),
    "unknown-model-400": refuses_with(400, "nothing/here is not a valid model ID"),
    "odd-refusal": refuses_with(400, "Something is wrong with message 3", after_calls=1),
    "odd-status": refuses_with(415, "Unsupported media type"),
    "outage": refuses_with(503, "overloaded", after_calls=2),
}


@script
def streams_nothing(_: FakeModel, __: Json) -> Reply:
    return 200, {"Content-Type": "text/event-stream"}, b""


@script
def empty_body(_: FakeModel, __: Json) -> Reply:
    return 200, {"Content-Type": "application/json"}, b""


@script
def empty_choices(_: FakeModel, __: Json) -> Reply:
    return completion([])


@script
def null_choices(_: FakeModel, __: Json) -> Reply:
    return completion(None)


@script
def refuses(_: FakeModel, __: Json) -> Reply:
    return answer(refusal="I cannot help with that.", finish="stop")


@script
def filtered(_: FakeModel, __: Json) -> Reply:
    return answer(text="", finish="content_filter")


@script
def cut_off(_: FakeModel, __: Json) -> Reply:
    return answer(("submit_solution", '{"rows": [{"date": "2024'), finish="length")


@script
def leaks_the_key(server: FakeModel, request: Json) -> Reply:
    """Write the key into every text field."""
    secret = server.keys[-1].removeprefix("Bearer ")
    replies = [m for m in request["messages"] if m["role"] == "tool"]
    if len(replies) < 2:
        calls = ((secret, {}), ("rows_for_date", {"date": secret}))
        return answer(*calls, text=secret, reasoning_content=secret, extra={secret: [secret]})
    return answer(text=secret, refusal=secret, finish="stop")


@script
def uncounted(server: FakeModel, request: Json) -> Reply:
    reply = json.loads(good(server, request)[2])
    del reply["usage"]
    return as_json(reply)
