"""Requests of data subjects: erasure with its proof and receipts, access (export), and explanations of use.

Only this package resolves an e-mail to a person (``subject``). ``matching`` recognises a person's rows and lines.
``erasure`` has the steps of an erasure: ``places`` finds, ``forgetting`` removes, ``proof`` verifies. Nothing here
imports Dagster: whoever calls an erasure passes the function that rebuilds tables. Suppression, which keeps an erased
person's data out when it lands again, is in ``privacy.suppression``.
"""
