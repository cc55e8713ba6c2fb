"""Tasks as data: rows of splits, exports and Harbor folders."""
