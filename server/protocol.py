"""The WebSocket connection itself: uvicorn's, told to read on while a few messages wait."""

from __future__ import annotations

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

MAX_WAITING = 4
"""Unread messages of one connection at which reading pauses."""


class SteadyProtocol(WebSocketsSansIOProtocol):
    """Pauses reading only for a client that runs ahead.

    uvicorn pauses after every message and resumes when it was taken: two system calls for each
    step of a client that waits for its replies anyway.
    """

    def send_receive_event_to_app(self) -> None:
        """Hand a message to the app."""
        paused = self.read_paused
        self.read_paused = True  # so that the base class does not pause
        super().send_receive_event_to_app()
        self.read_paused = paused
        if not paused and self.queue.qsize() >= MAX_WAITING:
            self.read_paused = True
            self.transport.pause_reading()
