"""NeMo Gym starts this file as the resources server."""

from openenv_kit.trainers.nemo_gym import MetricTrackerResourcesServer

if __name__ == "__main__":
    MetricTrackerResourcesServer.run_webserver()
