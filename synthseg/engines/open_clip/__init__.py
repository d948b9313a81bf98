"""The scorer on open_clip."""
