"""Speed and quality, measured by commands that anyone can repeat."""
