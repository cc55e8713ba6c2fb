"""Functions that render the debugger's HTML, such as forms, grids and tables."""
