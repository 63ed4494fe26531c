"""The embedded stack. Touches the Valkey wheel and child processes."""
