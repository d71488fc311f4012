"""A problem, a reward and a search that raybilevel finds by their names."""
