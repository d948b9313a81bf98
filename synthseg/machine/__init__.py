"""What this machine is and what its hardware can do."""
