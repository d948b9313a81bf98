"""Engine replicas: batching, turns, health. Nothing here knows HTTP."""
