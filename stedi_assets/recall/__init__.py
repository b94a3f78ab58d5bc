"""What is known of data files without reading them again, as numbers: who is in a partition, who consents, who met.

Files of a table never change, so what was computed from some is right for as long as they are part of the
table. A run asks for the same several times, and the sensors' process at every tick. It is kept in memory
only: names belong into the tables and nowhere else. What is computed from it belongs to ``derivation``.
"""

from stedi_assets.recall.memory import WHOSE, Recall

__all__ = ["WHOSE", "Recall"]
