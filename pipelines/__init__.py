"""The run: Ray Data stages, their order, resume, evaluation."""
