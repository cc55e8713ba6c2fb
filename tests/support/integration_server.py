"""The server that `check_integrations` starts for its checks, and an unused address."""

import os
import urllib.request

SERVER_VARIABLE = "METRIC_TRACKER_CHECK_SERVER"

NOWHERE = "http://127.0.0.1:9"
NO_SERVER = r"No server answers at http://127\.0\.0\.1:9 .*Start one with `server --port 9`"


def address():
    """Return the server's address; fail without a server."""
    found = os.environ.get(SERVER_VARIABLE)
    assert found, f"start a server and name it: {SERVER_VARIABLE}=http://127.0.0.1:8000"
    return found


def episodes_served():
    """Return how many episodes were started on the server."""
    with urllib.request.urlopen(f"{address()}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    name = 'openenv_kit_reset_seconds_count{transport="http"}'
    return sum(int(float(line.split()[-1])) for line in lines if line.startswith(name))
