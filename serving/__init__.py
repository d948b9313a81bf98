"""Ray Serve: the engines as replicas that batch runs and HTTP share."""
