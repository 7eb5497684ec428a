"""The command line: arguments, progress, exit codes, and nothing else."""
