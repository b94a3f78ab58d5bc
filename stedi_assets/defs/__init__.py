"""Everything that is Dagster's: assets, checks, sensors, jobs, the I/O manager, and how they are put together.

What belongs here imports Dagster; what a table means, whether it is stale and how it is stored do not (``transforms``,
``staleness``, ``lakehouse``). ``build`` puts the definitions together; ``materialize`` runs them without a daemon.
"""
