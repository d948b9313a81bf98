"""Ray itself: its start and its end, streams of shards, processes of one's own."""
