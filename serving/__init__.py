"""Ray Serve: the engines as replicas that batch runs and (later) HTTP share."""
