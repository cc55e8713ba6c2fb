"""A race on the visitor's episode: they, the reference and perhaps a third, move by move.

Rivals move when the visitor does. Before the visitor's episode is over, all that is told of a rival
is how many moves it has made, and whether it has ended its play. What it asks, is told and reports
stays back, and so does its score: a call can name the day that the visitor is looking for, and a
high score says that the report beside it is right.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import gradio as gr

from openenv_kit.environment import ERROR
from openenv_kit.errors import ConfigurationError, require_name
from openenv_kit.page.layout import html
from openenv_kit.page.markup import bar, button, hint, note
from openenv_kit.page.model import ModelPlayback, model_settings
from openenv_kit.page.page import Page, View
from openenv_kit.page.reveal import REFERENCE, score_of
from openenv_kit.page.state import Visitor
from openenv_kit.page.trace import describe
from openenv_kit.page.watching import Playback, scripted

if TYPE_CHECKING:
    from openenv_kit.page.scenes import Scenes

ALONE, WATCHED, MODEL = "nobody", "watched", "model"
THIRDS = [
    ("nobody else", ALONE),
    ("the play that is open below or kept back", WATCHED),
    ("the model named on the Model tab", MODEL),
]
TICK_S = 1.0
"""Pause between two looks at a model that is still playing."""
SECRET = (
    "Rivals move when you move. What they ask and report, and their scores, are told once your "
    "episode is over: their calls can name what you are looking for."
)
NO_RACE = (
    "Start a race, then play: your episode begins anew, and the reference plays the same one. "
    "Each of your moves lets every rival make one."
)
NOTHING_OPEN = "There is no play to race against: open a recorded run, or watch somebody, first."


class Race:
    """Rivals on one episode.

    Args:
        rivals: plays of the visitor's episode, from their first move; closed with the race.

    Attributes:
        names: of the rivals, in their order; no two are the same.
    """

    def __init__(self, rivals: Sequence[Playback]) -> None:
        self.rivals = tuple(rivals)
        self.names: list[str] = []
        for rival in rivals:
            rival.go(0)
            again = " again" * self.names.count(rival.player)
            self.names.append(f"{rival.player}{again}")

    @property
    def waiting(self) -> bool:
        """Whether a model that lags behind is thinking."""
        return any(rival.waiting for rival in self.rivals)

    def follow(self, moves: int, *, over: bool) -> None:
        """Let every rival make as many moves as the visitor has, or all once that play is over."""
        for rival in self.rivals:
            if over:
                rival.run_to_end()
                rival.catch_up()
            while rival.at < moves and not ended(rival):
                before = rival.at
                rival.advance()
                if rival.at == before:  # a model that is thinking
                    break

    def close(self) -> None:
        """Stop the rivals."""
        for rival in self.rivals:
            rival.close()


def ended(rival: Playback) -> bool:
    """Whether a rival's last move is among those that it has made so far."""
    return rival.finished and rival.at == len(rival.frames) - 1


def build(page: Page, endpoint: Sequence[Any]) -> None:
    """Lay out the race and wire it.

    Args:
        page: its view `status` shows the race too, so every event that moves the visitor does.
        endpoint: inputs for a model's address, key and name.
    """
    policies = page.scenes.environment.policies
    scripts = [(p.name, name) for name, p in policies.items() if name != REFERENCE]
    with gr.Row(equal_height=False, elem_classes="mt-source"):
        third = gr.Dropdown(
            [*THIRDS, *scripts],
            value=ALONE,
            label="Besides the reference",
            elem_id="mt-third",
            scale=3,
        )
        start = gr.Button("Start the race", variant="primary", elem_id="mt-race-start")
    lanes = html(elem_id="mt-race")
    timer = gr.Timer(TICK_S, active=False)

    status = page.views["status"]
    scenes = page.scenes
    page.views["status"] = View(
        [*status.outputs, lanes, timer],
        lambda visitor: [*status.show(visitor), *show(scenes, visitor)],
    )
    page.on(start.click, start_race, [third, *endpoint], page.views, wait_on=[lanes])
    page.on(timer.tick, follow, (), ["status"], trigger_mode="once")
    page.on_bridge(page.bridge.pick_rival, watch_rival, ["watch"])


def start_race(visitor: Visitor, third: str, url: str = "", key: str = "", model: str = "") -> None:
    """Start an episode anew and let rivals play it.

    Args:
        visitor: races.
        third: `nobody`, `watched`, `model`, or a scripted policy.
        url: of a model's endpoint, as on the tab Model.
        key: for that endpoint.
        model: its name there.

    Raises:
        ConfigurationError: no such policy, nothing is open, or the model cannot play.
    """
    visitor.ensure_episode()
    environment, reset = visitor.environment, dict(visitor.reset)
    rivals = []
    if third == WATCHED:
        if visitor.playback is None:
            raise ConfigurationError(NOTHING_OPEN)
        rivals, reset = [visitor.playback], dict(visitor.playback.reset)
        visitor.playback.kept_back = False
    elif third == MODEL:
        url = (url or "").strip()
        chosen = model_settings(url, visitor.key_for(url, (key or "").strip()), model or "")
        rivals = [ModelPlayback(chosen, reset, environment)]
    elif third != ALONE:
        policies = environment.policies
        rivals = [scripted(policies[require_name("rival", third, policies)], reset, environment)]
    rivals.insert(0, scripted(environment.policies[REFERENCE], reset, environment))
    if third == WATCHED:
        visitor.playback = None  # it would tell the answers; it goes on as a rival
    visitor.watch(None)
    race = Race(rivals)
    if visitor.start(**reset).status == ERROR:
        race.close()
        return
    visitor.race = race
    visitor.note = "The race is on: make your first move."


def follow(visitor: Visitor) -> None:
    """Let rivals that lagged behind catch up with the visitor."""
    if visitor.race is not None:
        visitor.race.follow(visitor.progress["step_count"], over=visitor.session.done)


def watch_rival(visitor: Visitor, told: object) -> None:
    """After the end: look at a rival's move, named as `rival:move`, in the trace."""
    rival, _, move = str(told).partition(":")
    if visitor.race is None or not visitor.session.done:
        return
    if rival.isdecimal() and move.isdecimal() and int(rival) < len(visitor.race.rivals):
        chosen = visitor.race.rivals[int(rival)]
        if chosen.finished:
            visitor.playing, visitor.playback = False, chosen
            chosen.go(int(move))


def show(scenes: Scenes, visitor: Visitor) -> Sequence[Any]:
    """Values of the lanes and of the timer that waits for a model."""
    race = visitor.race
    if race is None:
        return [hint(NO_RACE), gr.update(active=False)]
    over = visitor.session.done
    own = [_code(entry.call) for entry in visitor.log] if over else []
    lanes = [_lane("You", visitor.progress["step_count"], visitor.score, own, ended=over)]
    for number, rival in enumerate(race.rivals):
        calls = _calls(scenes, rival, number) if over else []
        score = score_of(rival.frames) if over and rival.finished else None
        told = note(rival.remark, "bad") if over else ""
        lanes.append(
            _lane(race.names[number], rival.at, score, calls, ended=ended(rival), told=told)
        )
    below = "" if over else hint(SECRET)
    html = f'<section class="mt-race" aria-label="Race">{"".join(lanes)}</section>{below}'
    return [html, gr.update(active=race.waiting)]


def progress_text(race: Race) -> str:
    """How far the rivals are, in one line."""
    both = zip(race.names, race.rivals, strict=True)
    told = (f"{name} {rival.at}{' (done)' * ended(rival)}" for name, rival in both)
    return f"race: {' · '.join(told)}"


def _calls(scenes: Scenes, rival: Playback, number: int) -> list[str]:
    """A rival's moves in HTML; once its play is over, each opens in the trace below."""
    told = [describe(scenes, frame) for frame in rival.frames[1 : rival.at + 1]]
    if not rival.finished:
        return [_code(call) for call in told]
    return [
        button("pick_rival", f"{number}:{at}", call[:120], style="link")
        for at, call in enumerate(told, start=1)
    ]


def _lane(
    player: str,
    moves: int,
    score: float | None,
    calls: Sequence[str],
    *,
    ended: bool,
    told: str = "",
) -> str:
    state = f"{moves} move(s){', done' * ended}"
    result = "" if score is None else bar("score", score, f"{score:.4f}")
    lines = "".join(
        f"<li><b>{at}</b><div>{call}</div></li>" for at, call in enumerate(calls, start=1)
    )
    name = escape(player)
    steps = f'<ol class="mt-log" tabindex="0" aria-label="Moves of {name}">{lines}</ol>'
    dots = '<p class="mt-dots" aria-hidden="true">' + "●" * min(moves, 40) + "</p>"
    return (
        f'<section aria-label="{name}"><h3>{name}</h3><p>{state}</p>{dots}{result}{told}'
        f"{steps if lines else ''}</section>"
    )


def _code(call: str) -> str:
    return f"<code>{escape(call)}</code>"
