"""Runtime: the only place that schedules work on Ray. Knows no diffusion math."""
