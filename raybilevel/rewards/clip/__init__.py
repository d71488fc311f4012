"""Rewards by CLIP models of transformers: one network for all that name it."""
