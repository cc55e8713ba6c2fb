"""Resources server that NeMo Gym starts."""

from openenv_kit.trainers.nemo_gym import EpisodeServer

if __name__ == "__main__":
    EpisodeServer.run_webserver()
