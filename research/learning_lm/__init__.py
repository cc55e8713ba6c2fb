"""Experiment: does a small pretrained language model learn the funnel by GRPO?

SmolLM2-135M-Instruct imitates demonstrations of the reference policy and is then trained by GRPO,
beside controls. The modules need the dependency group `learn`; no other module imports them.
"""
