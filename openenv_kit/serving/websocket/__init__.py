"""WebSocket routes: connection handling and the framework's protocol."""
