"""Dagster's definitions: assets, checks, sensors, jobs, the I/O manager, and how they are put together.

Dagster concept: the ``defs`` folder of a code location; ``stedi_assets.definitions`` is what Dagster loads.

Everything that imports Dagster belongs here. What a table means (``contracts``, ``transforms``), whether a partition is
stale (``staleness``) and how it is stored (``lakehouse``) do not. ``build`` puts the definitions together;
``materialize`` runs them without a daemon.
"""
