"""How the 8 x 8 digits model's judges are trained; `jobs/train_models.py` runs it."""
