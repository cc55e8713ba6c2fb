"""From a configuration to accepted data: effects, anomalies, calendar, plan, draw."""
