"""Real images, what samples are like beside them, and by which features."""
