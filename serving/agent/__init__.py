"""The prompt agent as a deployment."""
