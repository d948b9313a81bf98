"""The networks: frozen encoders, the patch classifier, the decoder, what they learn from and how they are loaded."""
