"""How samples that are not p0's come to be drawn, round by round, and what they say."""
