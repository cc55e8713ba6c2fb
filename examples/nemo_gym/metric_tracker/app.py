"""NeMo Gym starts this file as the resources server."""

from metric_tracker_rl.integrations.nemo_gym import MetricTrackerResourcesServer

if __name__ == "__main__":
    MetricTrackerResourcesServer.run_webserver()
