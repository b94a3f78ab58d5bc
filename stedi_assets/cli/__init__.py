"""The ``stedi`` command: reads arguments, calls the package, prints.

No rule and no table lives here. What is printed for people goes through ``output``; heavy modules are
imported where they are used, so that ``--help`` is quick.
"""
