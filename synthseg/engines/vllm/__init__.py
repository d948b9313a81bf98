"""The text engine on vLLM, which Ray Serve LLM runs (serving/engines)."""
