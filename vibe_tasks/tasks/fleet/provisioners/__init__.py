"""What starts and ends the workers of a lane: one file for each way."""
