"""A target in place of an upper reward."""
