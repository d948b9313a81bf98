"""The small world of the embedded preset: painted scenes, the engine that paints them, T(c) as a text engine, the field split, weights."""
