"""Generates, plays and grades funnel episodes, without any transport, framework or model."""
