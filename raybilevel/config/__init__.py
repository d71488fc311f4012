"""What runs are configured with."""
