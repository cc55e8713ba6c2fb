"""Episodes over HTTP equal those in process, also after lost connections."""

import json
import pickle
import re
import subprocess
import sys

import pytest

from metric_tracker_rl.environment import ENVIRONMENT
from openenv_kit.datasets.split_rows import list_task_rows
from openenv_kit.episode_clients import retry
from openenv_kit.episode_clients.http import HttpEpisode
from openenv_kit.episode_clients.in_process import InProcessEpisode
from openenv_kit.errors import ConfigurationError, ServerError, ServerFullError
from openenv_kit.trainers.scripted_calls import get_next_scripted_call
from openenv_kit.trainers.tool_episode import ToolEpisode
from openenv_kit.trainers.trl import BASE_URL_VARIABLE, environment_class
from support.stub_episode_server import FRAME, HANG_UP, OPENING, STEPPED, StubServer

NOWHERE = "http://127.0.0.1:9"
FRAMEWORK = ("openenv", "websockets", "fastapi", "httpx", "requests")


def transcript(base_url, policy, row):
    """Everything a model is told in an episode, and what it earns."""
    episode, answers = ToolEpisode(base_url), []
    opening = episode.reset(row)
    while not episode.is_done:
        answers.append(episode.call_tool(*get_next_scripted_call(policy, answers)))
    return opening, answers, episode.reward


@pytest.mark.parametrize("policy", ["reference", "report_all"])
def test_http_episode_returns_the_same_messages_as_in_process(server_url, policy):
    for row in list_task_rows("validation", first=2, count=3):
        remote = transcript(server_url, policy, row)
        assert remote == transcript(None, policy, row)
        assert policy != "reference" or remote[-1] == 1.0


def test_http_episode_plays_several_episodes_in_turn(server_url):
    episode = ToolEpisode(server_url)
    for row in list_task_rows("validation", count=2):
        assert episode.reset(row) == ToolEpisode().reset(row)
        episode.call_tool("submit_solution", {"rows": []})
        assert episode.is_done


@pytest.mark.slow
def test_playing_on_a_server_needs_nothing_but_the_standard_library(server_url):
    code = (
        "import sys\n"
        "from openenv_kit.trainers.tool_episode import ToolEpisode\n"
        f"episode = ToolEpisode({server_url!r})\n"
        "episode.reset({})\n"
        "episode.call_tool('submit_solution', {'rows': []})\n"
        f"print(episode.is_done, [name for name in {FRAMEWORK!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True []"


def test_reset_rejected_by_a_server_raises_its_message(server_url):
    said = []
    for base_url in (server_url, None):
        episode = ToolEpisode(base_url)
        with pytest.raises(ConfigurationError) as refusal:
            episode.reset({"difficulty": "hardd"})
        episode.close()
        said.append(str(refusal.value))
    assert said[0] == said[1]
    assert "Did you mean 'hard'" in said[0]


def test_call_over_the_size_limit_returns_an_error_and_the_episode_continues(server_url):
    episode = ToolEpisode(server_url)
    episode.reset({})
    answer = json.loads(episode.call_tool("rows_for_date", {"date": "9" * 2_000_000}))
    assert answer["status"] == "error"
    assert re.search("1048576|1 MiB", answer["message"])
    assert json.loads(episode.call_tool("list_dates", {}))["status"] == "analyzed"
    episode.close()


def test_missing_server_error_names_the_address_and_the_command(monkeypatch):
    monkeypatch.setattr(retry, "RECONNECT_TIMEOUT_S", 0.0)
    said = r"No server answers at http://127\.0\.0\.1:9 .*`server --port 9`.*leave base_url out"
    with pytest.raises(ServerError, match=said):
        ToolEpisode(NOWHERE).reset({})


def test_missing_server_of_another_machine_is_no_reason_to_start_one_here(monkeypatch):
    monkeypatch.setattr(retry, "RECONNECT_TIMEOUT_S", 0.0)
    address = "http://no-such-host.invalid:9/env"
    said = rf"No server answers at {address} .*Check base_url"
    with pytest.raises(ServerError, match=said):
        ToolEpisode(address).reset({})


@pytest.mark.parametrize("address", ["127.0.0.1:8000", "localhost", "ftp://host", "http://host:x"])
def test_invalid_address_is_rejected_at_once(address):
    with pytest.raises(ConfigurationError, match=re.escape(repr(address))):
        ToolEpisode(address)


def remote(stub):
    """A backend that asks for no metadata, which a stub does not have."""
    backend = HttpEpisode(stub.url, ENVIRONMENT)
    backend._has_checked_environment = True
    return backend


def stepped(stub):
    """What a step on a stub returns."""
    backend = remote(stub)
    backend.reset({"seed": 1})
    observation = backend.step({"analysis_method": "list_dates"})
    backend.close()
    return observation


@pytest.mark.parametrize("between", [[], [HANG_UP], [HANG_UP, {"status": 503, "body": {}}]])
def test_lost_step_is_retried_with_the_same_request_id(monkeypatch, between):
    monkeypatch.setattr(retry, "FIRST_RETRY_PAUSE_S", 0.0)
    with StubServer(OPENING, *between, STEPPED) as stub:
        assert stepped(stub) == {"status": "analyzed", "reward": 0.25, "done": False}
    (opening, *steps) = stub.asked
    assert opening == ("/reset", {"seed": 1}, None)
    assert len(steps) == len(between) + 1
    assert all(step == steps[0] for step in steps)
    assert steps[0][1]["episode_id"] == "e-1"
    assert steps[0][1]["request_id"]


AWAY = [{"status": status, "body": {}} for status in retry.UNAVAILABLE_STATUSES]


def test_first_request_waits_for_a_starting_server_and_logs_it(monkeypatch, caplog):
    monkeypatch.setattr(retry, "FIRST_RETRY_PAUSE_S", 0.01)
    with StubServer(*AWAY, OPENING, *AWAY, STEPPED) as stub:
        backend = remote(stub)
        assert backend.reset({})["status"] == "ready"
        assert len(caplog.messages) == 1
        assert "30 s" in caplog.messages[0]
        assert stub.url in caplog.messages[0]
        assert backend.step({})["status"] == "analyzed"
        backend.close()


def test_refused_first_connection_is_waited_for(monkeypatch, caplog):
    monkeypatch.setattr(retry, "RECONNECT_TIMEOUT_S", 0.3)
    monkeypatch.setattr(retry, "FIRST_RETRY_PAUSE_S", 0.05)
    with pytest.raises(ServerError, match="No server answers"):
        ToolEpisode(NOWHERE).reset({})
    (message,) = caplog.messages
    assert "0.3 s" in message
    assert NOWHERE in message


FULL = [
    {"status": status, "body": {"detail": "No room."}, "headers": {"retry-after": "0"}}
    for status in retry.FULL_STATUSES
]


def test_full_server_is_asked_again_until_it_has_room(monkeypatch, caplog):
    monkeypatch.setattr(retry, "CAPACITY_RETRY_PAUSE_S", 0.01)
    with StubServer(*FULL, *FULL, OPENING, *FULL, STEPPED) as stub:
        assert stepped(stub)["status"] == "analyzed"
    assert [path for path, _, _ in stub.asked] == ["/reset"] * 5 + ["/step"] * 3
    assert len({json.dumps(body) for path, body, _ in stub.asked if path == "/step"}) == 1
    assert ["No room." in message for message in caplog.messages] == [True, True]


def test_server_that_stays_full_is_an_error_with_its_reason(monkeypatch):
    monkeypatch.setattr(retry, "CAPACITY_TIMEOUT_S", 0.0)
    with StubServer(FULL[0]) as stub:
        backend = remote(stub)
        with pytest.raises(ServerError, match=r"No room\. Play fewer"):
            backend.reset({})
        backend.close()


def test_full_server_without_waiting_raises_the_time_to_retry():
    answer = {**FULL[1], "headers": {"retry-after": "7"}}
    with StubServer(answer) as stub:
        pickled = pickle.dumps(HttpEpisode(stub.url, ENVIRONMENT, should_wait_when_full=False))
        backend = pickle.loads(pickled)
        backend._has_checked_environment = True
        with pytest.raises(ServerFullError, match="No room") as full:
            backend.reset({})
        backend.close()
    assert full.value.retry_after_s == 7.0


def test_full_server_tries_the_drawn_task_again(monkeypatch):
    with StubServer(FULL[0], FULL[0], {"status": 500, "body": {}}) as stub:
        episode = ToolEpisode(stub.url, should_wait_when_full=False)
        episode._client._has_checked_environment = True
        for problem in (ServerFullError, ServerFullError, ServerError):
            with pytest.raises(problem):
                episode.reset({})
        episode.close()
    first, *others = [body for _, body, _ in stub.asked]
    assert others == [first, first]


def test_read_max_sessions_is_the_number_of_the_server(server_url):
    episode = HttpEpisode(server_url, ENVIRONMENT)
    assert episode.read_max_sessions() == 1024
    episode.close()


def test_two_steps_have_different_request_ids():
    with StubServer(OPENING, STEPPED, STEPPED) as stub:
        backend = remote(stub)
        backend.reset({})
        backend.step({})
        backend.step({})
        backend.close()
    assert len({body["request_id"] for _, body, _ in stub.asked[1:]}) == 2


def test_a_server_that_stays_away_is_an_error_and_no_score_of_zero(monkeypatch):
    monkeypatch.setattr(retry, "RECONNECT_TIMEOUT_S", 0.0)
    opening = {"status": "ready", "instruction": "", "expected_row_count": 0, "config": FRAME}
    response = {**OPENING, "body": {**OPENING["body"], "observation": opening}}
    with StubServer(response, HANG_UP, STEPPED) as stub:
        monkeypatch.setenv(BASE_URL_VARIABLE, stub.url)
        environment = environment_class()()
        environment.reset()
        assert environment.get_reward() == 0.0
        with pytest.raises(ServerError, match=re.escape(stub.url)):
            environment.list_dates()
        # TRL swallows what a tool raises, and asks for the reward all the same.
        with pytest.raises(ServerError, match=re.escape(stub.url)):
            environment.get_reward()
        environment._episode.close()


def test_token_is_sent_with_every_request(monkeypatch):
    monkeypatch.setenv("OPENENV_KIT_TOKEN", "from the environment")
    with StubServer(OPENING, STEPPED) as stub:
        stepped(stub)
    assert [token for _, _, token in stub.asked] == ["Bearer from the environment"] * 2


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (401, {"detail": "This server needs a token."}, "a token. Set OPENENV_KIT_TOKEN"),
        (404, {"detail": "Not Found"}, "it is not a Metric Tracker RL server"),
        (200, {"hello": "world"}, "it is not a Metric Tracker RL server"),
        (200, ["hello"], "it is not a Metric Tracker RL server"),
        (500, {"detail": "Internal error; see 12ab."}, "with 500: Internal error; see 12ab."),
    ],
)
def test_unusable_server_raises_its_reason(status, body, said):
    with StubServer({"status": status, "body": body}) as stub:
        with pytest.raises(ServerError, match=re.escape(said)) as refusal:
            remote(stub).reset({})
        assert stub.url in str(refusal.value)


def test_an_episode_that_the_server_has_forgotten_is_an_error():
    gone = {"status": 404, "body": {"detail": "No episode 'e-1': the id is unknown."}}
    with StubServer(OPENING, gone) as stub, pytest.raises(ServerError, match="No episode 'e-1'"):
        stepped(stub)


def test_http_episode_keeps_the_path_of_the_address():
    with StubServer(OPENING, STEPPED) as stub:
        stub.url = stub.url.replace("http", "ws") + "/behind/"
        stepped(stub)
    assert [path for path, _, _ in stub.asked] == ["/behind/reset", "/behind/step"]


def test_http_state_running_episode_equals_state_in_process(server_url):
    episodes = [HttpEpisode(server_url, ENVIRONMENT), InProcessEpisode(ENVIRONMENT)]
    states = []
    for episode in episodes:
        episode.reset({"task_id": "easy_single_spike"})
        episode.step({"analysis_method": "list_dates", "analysis_args": {}})
        states.append(episode.state())
        episode.close()
    names = ("step_count", "task_id", "max_steps", "status")
    assert [states[0][name] for name in names] == [states[1][name] for name in names]
    assert states[0]["step_count"] == 1


def test_http_state_unknown_episode_is_server_error(server_url):
    episode = HttpEpisode(server_url, ENVIRONMENT)
    episode._episode_id = "no-such-episode"
    with pytest.raises(ServerError, match="no-such-episode"):
        episode.state()
