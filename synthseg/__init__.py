"""SynthSeg: from a list of class names to a trained semantic segmentation network, without one real image."""

__version__ = "0.1.0"
