"""The image engine of the embedded preset."""
