from openenv_kit.trainers.tool_episode import ToolEpisode

# The server's token is read from $OPENENV_KIT_TOKEN.
episode = ToolEpisode("http://localhost:8000", environment="metric_tracker_rl")
print(episode.reset({"task_id": "easy_single_spike"}))
print(episode.tools.tool_names)
print(episode.call_tool("task_overview", {}))
episode.close()
