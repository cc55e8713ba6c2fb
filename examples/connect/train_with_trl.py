from trl import GRPOConfig, GRPOTrainer

from openenv_kit.trainers.trl import build_dataset, environment_class

# The server's token is read from $OPENENV_KIT_TOKEN.
GRPOTrainer(
    model="Qwen/Qwen3-0.6B",
    train_dataset=build_dataset("train", environment="metric_tracker_rl"),
    environment_factory=environment_class(
        "metric_tracker_rl", split="train", base_url="http://localhost:8000", record="runs"
    ),
    reward_funcs=[],
    args=GRPOConfig(max_completion_length=8192, max_tool_calling_iterations=16),
).train()
