"""A second, independent computation of the rules, and the random histories to test with.

What belongs here: plain Python that recomputes every table from the landed files (`rules`),
Hypothesis strategies for what lands and what is run (`histories`), and the tests that make both
worth trusting (`test_oracle`).

What does not: an import of `stedi_assets`. The product is compared with this package; code that
they share could be wrong in both and never show.
"""
