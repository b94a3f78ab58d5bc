"""The assets: each reads its inputs, calls one transform and returns its frame.

Dagster concept: asset.

Functions of a few lines belong here. What repeats from asset to asset comes from the contracts (``common``); what the
rows mean is in ``stedi_assets.transforms``, how they are stored in ``io_manager``.
"""
