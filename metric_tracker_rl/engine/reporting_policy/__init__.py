"""The reporting policy: its text, its code, drawn variants, and the daily series it reads."""
