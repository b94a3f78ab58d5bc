"""Requests of data subjects: erasure with its proof and receipts, access (export), and why data is or is not used.

Only this package resolves an e-mail to a person. What keeps an erased person's data out when it lands again is
``privacy.suppression``.
"""
