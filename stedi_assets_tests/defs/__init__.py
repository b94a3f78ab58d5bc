"""What is Dagster's: assets, checks, sensors, the graph, the erasure job and the event log."""
