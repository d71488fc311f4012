"""What `RewardTuning.model` may be: a pixel-space pipeline, any other pipeline, a function."""
