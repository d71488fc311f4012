"""Any diffusers pipeline, drawn from by its own call: what it takes, costs and can be asked for."""
