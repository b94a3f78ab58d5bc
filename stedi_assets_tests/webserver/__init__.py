"""What stands before Dagster's webserver, and what starts it."""
