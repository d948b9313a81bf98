"""The HTTP face of the engines: a FastAPI application that knows no Ray, only the `Backend` and `JobService` protocols."""
