"""A run on disk: shards published atomically, markers last, one folder or object-store prefix a run."""
