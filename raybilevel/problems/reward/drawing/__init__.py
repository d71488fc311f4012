"""What a worker does with a loaded model and the rewards: draws, asks, moves."""
