"""Which partitions are stale, and why: what each is made from, as fingerprints, compared with what it was made from.

Reconciliation and both sensors ask here. Nothing here changes a table or knows Dagster.
"""
