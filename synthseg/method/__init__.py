"""The paper: prompts (Algorithm 1), labels (Figs. 3 and 4), masks, networks."""
