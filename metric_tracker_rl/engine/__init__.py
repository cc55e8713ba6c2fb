"""The product funnel as plain Python and arrays: no transport, no framework, no model."""
