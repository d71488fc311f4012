"""Running a stage: workers that come and go, and which of them runs which shard."""
