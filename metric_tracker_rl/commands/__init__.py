"""Commands of the funnel, which the kit adds to `metric-tracker`."""
