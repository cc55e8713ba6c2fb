"""A visitor on call: the replies of their play, and the service they look at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from firewatch_env.page.story import Story
from openenv_kit.environment import Reply
from openenv_kit.page.state import Visitor
from openenv_kit.page.watching import Frame
from openenv_kit.play.driver import observed


class FirewatchVisitor(Visitor):
    """Everything the page knows about one visitor.

    Attributes:
        frames: replies of the running episode, with what was done.
        service: the service looked at.
    """

    def forget_play(self) -> None:
        """Forget what belongs to one episode."""
        super().forget_play()
        self.frames: list[Frame] = []
        self.service = ""

    @property
    def story(self) -> Story:
        """The running episode as its replies have told it; one is started if there is none."""
        self.ensure_episode()
        return Story(self.frames, self.progress["max_steps"], self.service)

    def start(self, /, **reset: Any) -> Reply:
        """As the kit's; looks at the entry first."""
        reply = super().start(**reset)
        if self.opening is reply:
            self.frames = [Frame({}, observed(reply))]
            self.service = self.story.service
        return reply

    def select(self, service: object) -> None:
        """Look at a service; a name that is none of the episode's is ignored."""
        if service in self.story.graph:
            self.service = str(service)

    def step(self, text: str, action: Mapping[str, Any]) -> Reply:
        """As the kit's; keeps the reply, and looks at the service that was acted on."""
        over = self.session.done
        reply = super().step(text, action)
        if not over:
            self.frames = [*self.frames, Frame(dict(action), observed(reply))]
            self.select(action.get("target_service"))
        return reply
