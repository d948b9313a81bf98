"""Runs of the pipeline, submitted over HTTP and carried out as Ray jobs."""

from serving.jobs.service import RayJobService

__all__ = ["RayJobService"]
