"""Server of a checkout: its command and its ASGI app."""
