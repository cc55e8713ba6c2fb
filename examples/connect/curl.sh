curl -sf http://localhost:8000/reset \
  -H "Authorization: Bearer $OPENENV_KIT_TOKEN" \
  -H "Content-Type: application/json" \
  -d '{"task_id": "easy_single_spike", "episode_id": "my-episode"}'
curl -sf http://localhost:8000/step \
  -H "Authorization: Bearer $OPENENV_KIT_TOKEN" \
  -H "Content-Type: application/json" \
  -d '{"episode_id": "my-episode", "action": {"analysis_method": "task_overview"}}'
