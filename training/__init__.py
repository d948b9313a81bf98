"""Ray Train: the classifier, the segmenter and the embedded CLIP."""
