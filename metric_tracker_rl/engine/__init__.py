"""Engine that generates, plays and grades funnel episodes.

It depends on no transport, agent framework or model.
"""
