"""Other ways to draw by a reward at inference, for one x: what they are worth for as many NFE."""
