"""Proof that a transformer learns here: made from nothing, taught by traces, then by GRPO.

Its modules need PyTorch, transformers and TRL, the group `learn-lm`; nothing else imports them.
"""
