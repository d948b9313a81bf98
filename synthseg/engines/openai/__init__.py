"""The text engine at an endpoint that speaks OpenAI's API."""
