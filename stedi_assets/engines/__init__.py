"""Engines: how frames are read, computed and written.

An engine turns a table's files into a lazy frame and a frame into new files. What a frame means is
the transforms' business, which files make a table the lakehouse's.
"""

from stedi_assets.engines.base import Engine, Frame

__all__ = ["Engine", "Frame"]
