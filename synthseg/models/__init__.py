"""Networks and the weakly supervised segmenter: frozen encoders, seeds, affinity, pseudo masks, decoder, losses."""
