"""The Self-Refine Prompt Agent (paper, Algorithm 1): template, requests, replies, quality, memory, exploration, loop."""
