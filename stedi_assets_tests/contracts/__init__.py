"""The contracts of the tables, and how names are compared."""
