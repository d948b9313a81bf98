"""The text engine on llama.cpp."""
