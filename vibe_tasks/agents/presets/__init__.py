"""Known coding-agent programs, one to a file: how each is started and how its output is read."""
