"""Raw files: which there are, what their lines say, and how they become the landing tables.

``files`` lists and dates them, ``line`` judges one line, ``survey`` counts a file's bytes, ``parse``
turns lines into rows at speed, ``ingest`` makes the partitions of a landing table out of files,
``plan`` says which days differ from what was ingested, ``copy`` brings files in.
"""
