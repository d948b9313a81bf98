"""Models behind protocols: text, image, scorer. One file a backend; callers see the protocol only."""
