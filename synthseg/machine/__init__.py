"""What this machine is, has and can do, and the processes of ours on it."""
