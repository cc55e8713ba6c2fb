"""Commands that only this environment has; the kit adds them to `metric-tracker`."""
