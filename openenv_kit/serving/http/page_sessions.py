"""Sessions of browsers that opened the page with the trainer's token.

A browser keeps a cookie with a random id in place of the token. The id is signed, with a key that
only who has the store's secret and the token can make: so every worker knows it, also after a
restart, and another token or another store ends all sessions.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time

from openenv_kit.serving.store.interface import EpisodeStore

COOKIE_NAME = "openenv_kit_web"
SESSION_LIFETIME_S = 7 * 24 * 3600
"""Seconds after which a browser has to show the token again."""
MAX_SESSION_ID_LENGTH = 256


class PageSessions:
    """Gives out session ids and recognizes them.

    Args:
        token: the trainer's.
        store: whose secret the ids are signed with; None for a secret of this object's own.
    """

    def __init__(self, token: str, store: EpisodeStore | None = None) -> None:
        self._token = token.encode()
        self._store = store
        self._key = b"" if store is not None else secrets.token_bytes(32)

    async def load_signing_key(self) -> None:
        """Read what the ids are signed with; needed once, before anything else.

        Raises:
            StoreError: the store does not answer.
        """
        if not self._key and self._store is not None:
            secret = (await self._store.get_secret()).encode()
            self._key = hmac.digest(secret, b"page session " + self._token, "sha256")

    def new_session_id(self) -> str:
        """Return the id of a new session."""
        unsigned = f"{secrets.token_urlsafe(16)}.{int(time.time()) + SESSION_LIFETIME_S}"
        return f"{unsigned}.{self._compute_signature(unsigned)}"

    def is_valid_session_id(self, session_id: str) -> bool:
        """Return whether an id was given out here and has not expired."""
        if not self._key or len(session_id) > MAX_SESSION_ID_LENGTH:
            return False
        unsigned, _, signature = session_id.rpartition(".")
        if not hmac.compare_digest(signature.encode(), self._compute_signature(unsigned).encode()):
            return False
        return int(unsigned.rpartition(".")[2]) > time.time()

    def _compute_signature(self, unsigned_id: str) -> str:
        return hmac.new(self._key, unsigned_id.encode(), hashlib.sha256).hexdigest()


def build_session_cookie(session_id: str, *, is_https: bool, path: str) -> str:
    """Return the `Set-Cookie` that keeps a session in a browser.

    Over HTTPS it is also sent where the page is embedded, as Hugging Face embeds a Space; the
    browser then keeps one for each site that embeds it, so that no other site can use it.

    Args:
        session_id: of the session.
        is_https: whether the browser reached the page over HTTPS.
        path: below which the cookie is sent.
    """
    scope = "SameSite=None; Secure; Partitioned" if is_https else "SameSite=Lax"
    return (
        f"{COOKIE_NAME}={session_id}; Max-Age={SESSION_LIFETIME_S}; Path={path}; HttpOnly; {scope}"
    )
