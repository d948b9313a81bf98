"""Parametric bodies of the 20 VOC classes, one builder a class."""
