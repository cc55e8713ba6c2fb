"""The reporting policy as text and as code, and the daily series to which it is applied."""
