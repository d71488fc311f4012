"""Tables and pictures from a run directory."""
