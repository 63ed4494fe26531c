"""Running agents: the command and recorded kinds. Touches child processes, nothing else."""
