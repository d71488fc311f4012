"""Variables of groups of prompts: each group an optimum of its own, on one pool."""
