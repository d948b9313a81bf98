"""What a synthesis takes: prompts, images, GPU hours, memory, storage, money; every number with its source."""
