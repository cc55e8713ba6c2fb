"""The page's icon, which every browser requests."""

from __future__ import annotations

from fastapi import FastAPI, Response

ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">'
    '<rect width="32" height="32" rx="7" fill="#2f6db3"/>'
    '<path d="M5 21h6l4-12 4 16 3-8h5" fill="none" stroke="#fff" stroke-width="2.6" '
    'stroke-linejoin="round" stroke-linecap="round"/></svg>'
)


def add_icon(app: FastAPI) -> None:
    """Serve the icon where browsers look for it."""

    @app.get("/favicon.ico", include_in_schema=False)
    def icon() -> Response:
        return Response(
            ICON, media_type="image/svg+xml", headers={"Cache-Control": "max-age=86400"}
        )
