"""Segmentation splits to evaluate on, behind one protocol: field, VOC, COCO, any folder."""
