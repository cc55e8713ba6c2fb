"""Close codes of WebSocket connections."""

from __future__ import annotations

from enum import IntEnum


class CloseCode(IntEnum):
    """Why the server closed a WebSocket connection. Codes below 4000 are registered with IANA."""

    NORMAL = 1000
    INVALID_TEXT = 1007
    TOO_BIG = 1009
    INTERNAL_ERROR = 1011
    SERVICE_RESTART = 1012
    TRY_AGAIN_LATER = 1013
    SESSION_ENDED = 4408
    """The server ended the session. The preceding message contains the reason."""
