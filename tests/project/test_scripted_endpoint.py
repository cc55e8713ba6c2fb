"""The chat endpoint that plays a policy."""

from __future__ import annotations

import json
import urllib.request

import pytest
from openai import OpenAI

from openenv_kit.environment import get_environment
from openenv_kit.trainers.tool_episode import ToolEpisode
from research.scripted_endpoint import MODEL, ScriptedEndpoint

pytestmark = pytest.mark.slow


TOOLS = get_environment("metric_tracker_rl").tools.select_for_episode(None)


def _one_call(client, messages, stream):
    if not stream:
        reply = client.chat.completions.create(
            model=MODEL, messages=messages, tools=TOOLS.chat_tools
        )
        (made,) = reply.choices[0].message.tool_calls
        return {"id": made.id, "name": made.function.name, "arguments": made.function.arguments}
    chunks = client.chat.completions.create(model=MODEL, messages=messages, stream=True)
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    (made,) = [call for delta in deltas for call in delta.tool_calls or []]
    return {"id": made.id, "name": made.function.name, "arguments": made.function.arguments}


@pytest.mark.parametrize("stream", [False, True])
def test_a_chat_client_plays_an_episode_to_the_reference_policys_score(stream):
    episode = ToolEpisode()
    messages = [{"role": "user", "content": episode.reset({"split": "validation", "index": 3})}]
    with (
        ScriptedEndpoint("reference") as endpoint,
        OpenAI(base_url=endpoint.base_url, api_key="none") as client,
    ):
        while not episode.is_done:
            call = _one_call(client, messages, stream)
            answer = episode.call_tool(call["name"], json.loads(call["arguments"]))
            made = {"id": call["id"], "type": "function", "function": call}
            messages += [
                {"role": "assistant", "content": "", "tool_calls": [made]},
                {"role": "tool", "tool_call_id": call["id"], "content": answer},
            ]
    assert episode.reward == 1.0


def test_the_endpoint_serves_nothing_else():
    with ScriptedEndpoint() as endpoint:
        request = urllib.request.Request(f"{endpoint.base_url}/embeddings", data=b"{}")
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(request)
