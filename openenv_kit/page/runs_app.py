"""Routes of the Runs tab below /web/runs: the list of rollouts, one rollout, and its charts.

The tab's script requests these routes. A POST request contains a rollout that the visitor opened
from a file. It is cached with the most recently opened rollouts, under a random key that is sent
only to this visitor.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anyio import CapacityLimiter, to_thread
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from openenv_kit.page.components.elements import (
    collapsed_truncated_json_html,
    message_box_html,
)
from openenv_kit.page.components.transcript import transcript_html
from openenv_kit.page.environment_view import EnvironmentView, tool_result_from_observation
from openenv_kit.page.failure_summary import failure_summary_html, summarize_failure
from openenv_kit.page.playback import PlaybackStep
from openenv_kit.page.rollout import (
    MAX_OPENED_CHARACTERS,
    OpenedRollout,
    OtherEnvironmentError,
    open_rollout,
)
from openenv_kit.recordings.format import RecordingError
from openenv_kit.recordings.rollout_catalogue import (
    RolloutCatalogue,
    list_levels_in_order,
    packaged_recordings_folder,
)
from openenv_kit.recordings.rollout_lines import ROLLOUT_ID_PATTERN

SCRIPTS_FOLDER = Path(__file__).with_name("static") / "runs"
MAX_CACHED_ROLLOUTS = 24
MAX_WAITING_REPLAYS = 32
"""Maximum number of requests that wait for a replay. Further requests are rejected with 503."""
RETRY_AFTER_S = 5


@dataclass(frozen=True)
class EnvironmentPage:
    """Title of an environment's page on this server, and its URL relative to the current page."""

    title: str
    href: str


class RolloutRoutes:
    """Request handlers of the routes.

    Args:
        view: view of the page's environment.
        folders: folders with recordings. The recordings in the package are added.
        environment_pages: pages of the server's environments, by name.
    """

    def __init__(
        self,
        view: EnvironmentView,
        folders: Sequence[Path],
        environment_pages: Mapping[str, EnvironmentPage],
    ) -> None:
        self._view = view
        self._environment_pages = environment_pages
        examples = packaged_recordings_folder(view.environment)
        all_folders = [*folders, *([examples] if examples.is_dir() else [])]
        self._catalogue = RolloutCatalogue(all_folders, view.environment.name)
        self._levels = list_levels_in_order(view.environment)
        self._cache: OrderedDict[str, OpenedRollout] = OrderedDict()
        self._cache_lock = threading.Lock()
        self._replay_threads = CapacityLimiter(2)
        self._waiting_count = 0

    async def list_rollouts(self, request: Request) -> Response:
        """Return the list of rollouts, or status 304 if the browser already has the same list."""
        found = await to_thread.run_sync(self._catalogue.list_rollouts)
        body = {
            "environment": self._view.environment.name,
            "levels": self._levels,
            "rollouts": [each.to_json() for each in found.rollouts],
            "problems": found.problems,
            "omitted": found.omitted_count,
            "private": found.private_count,
            "pages": {
                name: {"title": page.title, "href": page.href}
                for name, page in self._environment_pages.items()
            },
        }
        text = json.dumps(body, separators=(",", ":"))
        tag = f'"{hashlib.sha256(text.encode()).hexdigest()[:24]}"'
        headers = {"etag": tag, "cache-control": "no-cache"}
        if tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(text, media_type="application/json", headers=headers)

    async def show_rollout(self, request: Request) -> Response:
        """Return a rollout's summary and transcript."""
        return await self._respond_with_rollout(request, self._rollout_json)

    async def show_step(self, request: Request) -> Response:
        """Return the charts as of a step, and the reply to this step."""
        step_text = request.query_params.get("step", "")[:6]
        step = int(step_text) if step_text.isascii() and step_text.isdecimal() else 0
        shows_unread = request.query_params.get("unread") == "1"
        return await self._respond_with_rollout(
            request, lambda rollout: step_json(rollout, self._view, step, shows_unread=shows_unread)
        )

    async def _respond_with_rollout(
        self, request: Request, render: Callable[[OpenedRollout], dict[str, Any]]
    ) -> Response:
        if self._waiting_count >= MAX_WAITING_REPLAYS:
            detail = "Too many rollouts are being opened. Try again in a few seconds."
            return _error_response(503, detail, {"retry-after": str(RETRY_AFTER_S)})
        body = await request.body() if request.method == "POST" else b""
        rollout_id = request.query_params.get("id", "")
        if len(body) > MAX_OPENED_CHARACTERS:
            return _error_response(413, f"The rollout has more than {MAX_OPENED_CHARACTERS:,} B.")
        self._waiting_count += 1
        try:
            return await to_thread.run_sync(
                self._open_and_render, rollout_id, body, render, limiter=self._replay_threads
            )
        finally:
            self._waiting_count -= 1

    def _open_and_render(
        self, rollout_id: str, body: bytes, render: Callable[[OpenedRollout], dict[str, Any]]
    ) -> Response:
        try:
            key = secrets.token_urlsafe(16) if body else rollout_id
            rollout = self._open_rollout(key, body)
        except OtherEnvironmentError as problem:
            page = self._environment_pages.get(problem.environment_name)
            href = page.href if page else ""
            return JSONResponse({"detail": str(problem), "href": href}, 409)
        except RecordingError as problem:
            return _error_response(422, str(problem))
        if rollout is None:
            return _error_response(404, "This rollout is not on this server.")
        content = {**render(rollout), "key": key}
        return JSONResponse(content, headers={"cache-control": "no-store"})

    def _open_rollout(self, key: str, body: bytes) -> OpenedRollout | None:
        """Open the rollout in the body of a request or, without a body, the rollout with a key.

        The key is the id of a rollout on this server, or the random key of a rollout that a visitor
        opened from a file.
        """
        with self._cache_lock:
            if key in self._cache:
                self._cache.move_to_end(key)
                return self._cache[key]
        lines: bytes | None = body
        if not body:
            is_id = ROLLOUT_ID_PATTERN.fullmatch(key)
            lines = self._catalogue.read_rollout(key) if is_id else None
        if lines is None:
            return None
        rollout = open_rollout(lines, self._view.environment)
        with self._cache_lock:
            self._cache[key] = rollout
            while len(self._cache) > MAX_CACHED_ROLLOUTS:
                self._cache.popitem(last=False)
        return rollout

    def _rollout_json(self, rollout: OpenedRollout) -> dict[str, Any]:
        run = rollout.run
        summary = summarize_failure(rollout, self._view)
        return {
            "id": rollout.rollout_id,
            "player": run.player,
            "task": run.task_name,
            "reset": {name: value for name, value in run.reset.items() if name != "episode_id"},
            "score": run.score,
            "calls": [self._view.format_action_for_display(step.action) for step in run.steps],
            "errors": sorted({step for group in summary.rejected for step in group.steps}),
            "summary": failure_summary_html(summary),
            "transcript": transcript_html(rollout, self._view),
            "notice": rollout.notice,
            "replayed": len(rollout.steps),
        }


def step_json(
    rollout: OpenedRollout, view: EnvironmentView, step: int, *, shows_unread: bool
) -> dict[str, Any]:
    """Return the charts as of a step, and the reply to the step, as HTML.

    Args:
        rollout: the rollout.
        view: view of the rollout's environment.
        step: number of the step; 0 is the reset. A number that is out of range is clamped.
        shows_unread: whether the charts also show values that the player had not read.
    """
    last = len(rollout.steps) - 1
    if last < 0:
        hint = "There are no charts without a replay. The transcript shows the recorded messages."
        return {"charts": message_box_html(hint), "reply": "", "charts_step": None}
    step = min(max(step, 0), last)
    visible = list(rollout.steps[: step + 1])
    is_last = step == last
    # A view shows all values if the last reply has `done`, so this field is set accordingly.
    visible[-1] = _replace_done(visible[-1], is_done=is_last and shows_unread)
    return {
        "charts": view.overview_html(visible, rollout.run.reset),
        "reply": _reply_html(view, rollout.steps[step]),
        "charts_step": step,
        "can_show_unread": is_last,
    }


def build_runs_app(
    view: EnvironmentView,
    folders: Sequence[Path],
    environment_pages: Mapping[str, EnvironmentPage],
) -> Starlette:
    """Build the app that is mounted at /web/runs; see `RolloutRoutes` for the arguments."""
    routes = RolloutRoutes(view, folders, environment_pages)
    return Starlette(
        routes=[
            Route("/list", routes.list_rollouts),
            Route("/rollout", routes.show_rollout, methods=["GET", "POST"]),
            Route("/step", routes.show_step, methods=["GET", "POST"]),
            Mount("/static", StaticFiles(directory=SCRIPTS_FOLDER)),
        ],
        middleware=[Middleware(GZipMiddleware)],
    )


def parse_runs_folders(setting: str) -> list[Path]:
    """Return the folders in the setting `OPENENV_KIT_RUNS`, which are separated by commas."""
    return [Path(name.strip()).expanduser() for name in setting.split(",") if name.strip()]


def _replace_done(step: PlaybackStep, *, is_done: bool) -> PlaybackStep:
    return PlaybackStep(
        step.action, {**step.observation, "done": is_done}, step.matches_recording, step.elapsed_s
    )


def _reply_html(view: EnvironmentView, step: PlaybackStep) -> str:
    observation = step.observation
    css = "bad" if observation.get("status") == "error" else ""
    message = str(observation.get("message") or "")
    reply = view.reply_html_without_status_and_message(observation)
    if reply and message.endswith(" done."):  # The reply itself shows this.
        message = ""
    return (
        message_box_html(message, css)
        + reply
        + collapsed_truncated_json_html(tool_result_from_observation(view.environment, observation))
    )


def _error_response(
    status: int, detail: str, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    return JSONResponse({"detail": detail}, status, dict(headers or {}))
