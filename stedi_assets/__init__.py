"""The STEDI lakehouse: a privacy-first Dagster project. Importing it does nothing."""
