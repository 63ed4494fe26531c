"""The `vibe` command. Touches click and rich."""
