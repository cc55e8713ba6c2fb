"""Login sessions of browsers that opened the debugger with the trainer's token.

The browser gets a cookie with a random, signed session id instead of the token. The signing key is
derived from the store's secret and the token. Every worker can therefore verify an id, even after a
restart. A new token or a new store ends all sessions.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time

from openenv_kit.serving.store.interface import EpisodeStore

COOKIE_NAME = "openenv_kit_web"
SESSION_LIFETIME_S = 7 * 24 * 3600
"""Time after which a browser must send the token again."""
MAX_SESSION_ID_LENGTH = 256


class PageSessions:
    """Creates and verifies the session ids of browsers.

    Args:
        token: the trainer's token.
        store: store whose secret is used to derive the signing key; None for a random key, which
            other workers do not have.
    """

    def __init__(self, token: str, store: EpisodeStore | None = None) -> None:
        self._token = token.encode()
        self._store = store
        self._key = b"" if store is not None else secrets.token_bytes(32)

    async def derive_signing_key_from_store_secret(self) -> None:
        """Derive the signing key from the store's secret. Call it before any other method.

        Raises:
            StoreError: the store is not available.
        """
        if not self._key and self._store is not None:
            secret = (await self._store.get_secret()).encode()
            self._key = hmac.digest(secret, b"page session " + self._token, "sha256")

    def create_signed_session_id(self) -> str:
        """Return the signed id of a new session, which contains its expiry time."""
        unsigned = f"{secrets.token_urlsafe(16)}.{int(time.time()) + SESSION_LIFETIME_S}"
        return f"{unsigned}.{self._compute_id_signature(unsigned)}"

    def is_valid_session_id(self, session_id: str) -> bool:
        """Return whether an id was signed by this server and has not expired."""
        if not self._key or len(session_id) > MAX_SESSION_ID_LENGTH:
            return False
        unsigned, _, signature = session_id.rpartition(".")
        if not hmac.compare_digest(
            signature.encode(), self._compute_id_signature(unsigned).encode()
        ):
            return False
        return int(unsigned.rpartition(".")[2]) > time.time()

    def _compute_id_signature(self, unsigned_id: str) -> str:
        return hmac.new(self._key, unsigned_id.encode(), hashlib.sha256).hexdigest()


def build_set_cookie_header(session_id: str, *, is_https: bool, path: str) -> str:
    """Return the `Set-Cookie` header that stores a session in a browser.

    Over HTTPS, the cookie also works if the page is embedded in another site, such as a Space on
    huggingface.co. The browser then stores a separate cookie for each embedding site, so that other
    sites cannot use it.

    Args:
        session_id: id of the session.
        is_https: whether the browser reached the page over HTTPS.
        path: path below which the browser sends the cookie.
    """
    scope = "SameSite=None; Secure; Partitioned" if is_https else "SameSite=Lax"
    return (
        f"{COOKIE_NAME}={session_id}; Max-Age={SESSION_LIFETIME_S}; Path={path}; HttpOnly; {scope}"
    )
