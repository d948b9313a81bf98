"""Models behind protocols: text, image, scorer. A folder an engine; callers see the protocol only."""
