"""Measurements: segmentation (mIoU), classification (mAP), quality of labels."""
