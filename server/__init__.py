"""The OpenEnv server: the engine behind the framework's HTTP and WebSocket routes."""
