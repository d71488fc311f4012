"""The schedule problem whose network is trained in the same run."""
