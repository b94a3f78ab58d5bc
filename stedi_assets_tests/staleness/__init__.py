"""Which partitions are stale, and that any runs in any order end with the same rows."""
