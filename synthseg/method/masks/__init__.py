"""From image-level labels to pixel labels without training: prototypes, seeds, affinity, refinement."""
