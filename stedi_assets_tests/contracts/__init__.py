"""The contracts, the settings and the other parts that hold no rows."""
