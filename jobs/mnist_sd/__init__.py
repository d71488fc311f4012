"""A Stable Diffusion of handwritten digits, and its judges, trained from 5,000 digits alone."""
