"""Variables of groups of prompts, on one pool: each by itself, or jointly with shared ones."""
