"""WebSocket routes: sessions, connections and the framework's protocol."""
