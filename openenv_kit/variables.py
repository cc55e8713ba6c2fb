"""Names of the environment variables that the kit reads.

`openenv_kit.serving.settings` and `openenv_kit.agent.settings` read most of them and define their
defaults and ranges. A few modules that need a single variable read it themselves.
"""

from __future__ import annotations

VARIABLE_PREFIX = "OPENENV_KIT_"
"""Prefix of the kit's own variables."""
OLD_VARIABLE_PREFIX = "METRIC_TRACKER_"
"""Prefix that release 0.1.0 used."""

ENVIRONMENT_VARIABLE = "ENVIRONMENT"
"""Name of the default environment."""
PRODUCTS_VARIABLE = "PRODUCTS"
"""Files, or folders of files, with products of users' own tables, separated by `os.pathsep`."""
SALT_VARIABLE = "OPENENV_KIT_SEALED_SALT"
"""Secret from which the tasks of sealed splits are generated."""
SIGNING_KEY_VARIABLE = "OPENENV_KIT_ATTESTATION_KEY"
"""Secret from which a server derives the key that signs records of sealed episodes."""
PUBLIC_KEY_VARIABLE = "OPENENV_KIT_ATTESTATION_PUBLIC_KEY"
"""Public key that verifies signed records of sealed episodes."""

SERVER_TOKEN_VARIABLE = "OPENENV_KIT_TOKEN"
"""Bearer token that a server requires and its clients send."""
STORE_VARIABLE = "OPENENV_KIT_EPISODE_STORE"
"""Location of the store for a server's episodes."""
SERVER_VARIABLES = ("HOST", "PORT", "WORKERS", "MAX_CONCURRENT_ENVS")
"""Variables with server settings whose names lack the kit's prefix."""
TABLES_VARIABLE = "OPENENV_KIT_TABLES"
"""Tables of users that a server plays for holders of the trainer's token."""
TABLE_SEPARATOR = ";"
"""Separator of several tables in the variable."""
METRICS_FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""Folder in which the workers of a server share their metrics; read by the Prometheus client."""
SPACE_HOST_VARIABLE = "SPACE_HOST"
"""Public host name of a Hugging Face Space; the platform sets it."""
SPACE_ID_VARIABLE = "SPACE_ID"
"""Owner and name of a Hugging Face Space, such as `owner/name`; the platform sets it."""

BASE_URL_VARIABLE = "OPENENV_KIT_BASE_URL"
"""URL of the server on which trainers play episodes."""
HF_TOKEN_VARIABLE = "HF_TOKEN"
"""Hugging Face token, used as the model's key."""
API_KEY_VARIABLES = (HF_TOKEN_VARIABLE, "OPENAI_API_KEY", "API_KEY")
"""API keys of the model's endpoint, in order of preference for hosts of Hugging Face."""
API_URL_VARIABLES = ("API_BASE_URL", "OPENAI_BASE_URL")
"""URL of the model's endpoint."""
RANK_VARIABLE = "RANK"
"""Number of this process in a distributed run; launchers set it."""
WORLD_SIZE_VARIABLE = "WORLD_SIZE"
"""Number of processes of a distributed run; launchers set it."""
UV_HOOK_VARIABLE = "RAY_ENABLE_UV_RUN_RUNTIME_ENV"
"""Ray setting: whether workers under `uv run` install the working directory again."""
