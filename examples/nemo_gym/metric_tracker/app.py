"""NeMo Gym starts this file as the resources server."""

from openenv_kit.trainers.nemo_gym import EpisodeServer

if __name__ == "__main__":
    EpisodeServer.run_webserver()
