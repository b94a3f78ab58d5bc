"""Erasure and answers: forgetting a person everywhere, proving it, and saying why somebody's data is or is not there.

``folder`` keeps what is private, ``requests`` what was asked, ``tombstones`` and ``rules`` recognise the erased. What
a table holds is decided in ``landing`` and ``transforms``, which ask ``rules``.
"""
