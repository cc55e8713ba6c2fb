"""Export of tasks as dataset rows, dataset files and Harbor task folders."""
