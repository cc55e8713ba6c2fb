#!/bin/sh
# The server keeps the outcome where the agent cannot reach it, and it is collected after the agent
# has ended. Without it there is no reward: the trial has failed, not the agent.
set -eu
outcome=/tmp/outcome.json
[ -s "$outcome" ] || { echo "no outcome was collected from the server" >&2; exit 1; }
mkdir -p /logs/verifier
cp "$outcome" /logs/verifier/outcome.json
# An episode that was not ended was not graded, and earns nothing.
python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["score"] or 0.0)' "$outcome" \
    >/logs/verifier/reward.txt
