"""Headers of every answer that tell a browser what the answer may do.

Our pages load nothing from other hosts. Hugging Face shows a Space in a frame of its own pages, so
those may embed the debugger, beside the origins that the settings allow; nobody may embed anything
else.
"""

from __future__ import annotations

from collections.abc import Sequence

from openenv_kit.serving.settings import Settings

HUGGING_FACE_ORIGINS = ("https://huggingface.co", "https://*.hf.space")
"""Origins whose pages show Spaces."""
HttpHeader = tuple[bytes, bytes]


def build_security_headers(settings: Settings, *, is_debugger: bool) -> Sequence[HttpHeader]:
    """Return the headers of an answer.

    Args:
        settings: of the server.
        is_debugger: whether it belongs to the debugger, which runs scripts.
    """
    allowed = [origin for origin in settings.allowed_origins if origin != "*"]
    policy = {
        "default-src": ("'none'",),
        "style-src": ("'self'", "'unsafe-inline'"),
        "img-src": ("'self'", "data:"),
        "base-uri": ("'none'",),
        "form-action": ("'none'",),
        "frame-ancestors": ("'none'",),
    }
    if is_debugger:
        policy |= {
            "default-src": ("'self'",),
            # Gradio starts its page with inline scripts, and evaluates those of its events.
            "script-src": ("'self'", "'unsafe-inline'", "'unsafe-eval'"),
            "img-src": ("'self'", "data:", "blob:"),
            "font-src": ("'self'", "data:"),
            # A link may name a recording anywhere, which the visitor's browser fetches.
            "connect-src": ("'self'", "https:", "http://localhost:*", "http://127.0.0.1:*"),
            "worker-src": ("'self'", "blob:"),
            "object-src": ("'none'",),
            "base-uri": ("'self'",),
            "form-action": ("'self'",),
            "frame-ancestors": ("'self'", *HUGGING_FACE_ORIGINS, *allowed),
        }
    text = "; ".join(" ".join((name, *sources)) for name, sources in policy.items())
    return (
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"same-origin"),
        (b"content-security-policy", text.encode("latin-1")),
    )
