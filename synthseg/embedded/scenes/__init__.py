"""The embedded world: a procedural painter that reads a prompt and paints it, and knows the exact mask of what it painted."""
