"""The HTTP API, the event stream and the dashboard: the folder that knows FastAPI and uvicorn."""
