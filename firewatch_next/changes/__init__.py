"""Changes that engineers made to the system before the incident."""
