"""Worktrees, commits, merges and checks. Touches git and child processes, nothing else."""
