# The model is named by MODEL_NAME, its endpoint by API_BASE_URL and API_KEY.
# The server's token is read from $OPENENV_KIT_TOKEN.
BASE_URL=http://localhost:8000 uv run python inference.py \
  --environment metric_tracker_rl --tasks easy_single_spike --record runs
