"""A to-do list: library, command line and HTTP API."""
