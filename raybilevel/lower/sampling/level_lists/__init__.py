"""Lists of noise levels for the stock schedulers of diffusers: which take one, and how."""
