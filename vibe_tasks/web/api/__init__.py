"""`/api/v1`: everything that the command line does. Touches fastapi."""
