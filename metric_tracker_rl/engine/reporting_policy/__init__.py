"""The reporting policy as text and as code, and the daily series it reads."""
