#!/bin/sh
# The outcome is in the server's container, which the agent cannot reach, and is collected after the
# agent has finished. If it is missing, the trial failed, so no reward is written.
set -eu
outcome=/tmp/outcome.json
[ -s "$outcome" ] || { echo "no outcome was collected from the server" >&2; exit 1; }
mkdir -p /logs/verifier
cp "$outcome" /logs/verifier/outcome.json
# An episode that did not end was not graded and has the reward 0.
python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["score"] or 0.0)' "$outcome" \
    >/logs/verifier/reward.txt
