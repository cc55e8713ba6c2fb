"""Security headers of every HTTP response.

The server's pages load nothing from other hosts. Only the debugger may be embedded in pages of
other sites: those of Hugging Face, which shows a Space in a frame, and those of the allowed
origins.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from openenv_kit.serving.settings import Settings

HUGGING_FACE_ORIGINS = ("https://huggingface.co", "https://*.hf.space")
"""Origins of the pages that embed Spaces."""
SCRIPT_NONCE_KEY = "script_nonce"
"""Key of the response's nonce in the state of an ASGI scope."""


class HttpHeader(NamedTuple):
    """One header of an HTTP response, in the form that ASGI requires."""

    name: bytes
    value: bytes


def build_security_headers(
    settings: Settings, *, is_debugger: bool, script_nonce: str = ""
) -> Sequence[HttpHeader]:
    """Return the security headers of a response.

    Args:
        settings: settings of the server.
        is_debugger: whether the response belongs to the debugger, which runs scripts.
        script_nonce: random value of the response; inline scripts with this nonce may run.
    """
    allowed_origins = [origin for origin in settings.allowed_origins if origin != "*"]
    policy = {
        "default-src": ("'none'",),
        "style-src": ("'self'", "'unsafe-inline'"),
        "img-src": ("'self'", "data:"),
        "base-uri": ("'none'",),
        "form-action": ("'none'",),
        "frame-ancestors": ("'none'",),
    }
    if is_debugger:
        nonce = (f"'nonce-{script_nonce}'",) if script_nonce else ()
        policy |= {
            # Gradio compiles the templates of its HTML components, which needs eval.
            "script-src": ("'self'", *nonce, "'unsafe-eval'"),
            "img-src": ("'self'", "data:", "blob:"),
            "font-src": ("'self'", "data:"),
            "connect-src": ("'self'",),
            "object-src": ("'none'",),
            "base-uri": ("'self'",),
            "form-action": ("'self'",),
            "frame-ancestors": ("'self'", *HUGGING_FACE_ORIGINS, *allowed_origins),
        }
    text = "; ".join(" ".join((name, *sources)) for name, sources in policy.items())
    return (
        HttpHeader(b"x-content-type-options", b"nosniff"),
        HttpHeader(b"referrer-policy", b"same-origin"),
        HttpHeader(b"content-security-policy", text.encode("latin-1")),
    )
