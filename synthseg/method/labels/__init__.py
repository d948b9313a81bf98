"""From CLIP scores to labels: class probabilities, selection, pseudo-labels, folds, relabelling (paper, Figs. 3 and 4)."""
