"""What an episode is generated from and how it is played."""
