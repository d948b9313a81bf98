"""What the gateways of one endpoint share: keys, limits, answers, files, and their database."""
