"""Random landing histories to test with, and what erasures leave of them.

What belongs here: Hypothesis strategies for what lands and what is run (`histories`), the rules of erasure in plain
Python (`erasures`), and the tests that make the strategies worth trusting (`test_histories`). The rules of the tables
are in `stedi_assets.reference`.

What does not: an import of the product other than `stedi_assets.reference`. The product is compared with this package;
code that they share could be wrong in both and never show.
"""
