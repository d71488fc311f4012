"""What a schedule is moved for, and which steps each says."""
