"""What can be seen of a running process: logs by structlog, spans by OpenTelemetry."""
