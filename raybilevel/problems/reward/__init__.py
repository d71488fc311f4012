"""The reward problem."""
