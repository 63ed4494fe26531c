"""What people see of the work: the same values for the command line and for the HTTP API."""
