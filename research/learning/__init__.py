"""Trains a small policy by policy gradient on the score alone, to show that it can learn."""

from __future__ import annotations

from research.learning.experiment import ARMS, Plan, Run, run_plan
from research.learning.policy import RowPolicy
from research.learning.training import Evaluation, Settings, train

__all__ = ["ARMS", "Evaluation", "Plan", "RowPolicy", "Run", "Settings", "run_plan", "train"]
