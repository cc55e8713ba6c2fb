"""What every deterministic tool environment needs: tools, play, trust, serving, agent, trainers."""
