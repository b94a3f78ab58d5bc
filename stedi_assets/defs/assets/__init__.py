"""The assets: each reads its inputs, calls one transform and returns its frame.

What repeats from asset to asset comes from the contracts (``common``); what the rows mean is in
``stedi_assets.transforms``.
"""
