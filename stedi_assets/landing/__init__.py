"""The landing zone: which raw files there are, what their lines say, and how they become the landing tables.

``files`` lists and dates raw files, ``profile`` takes their digest and counts, ``parse`` turns lines into rows at
speed; ``manifest`` is the record of what became of each file, ``differences`` says which days are to be run;
``ingest`` runs them (``day_plan``, ``reading``, ``suppress``, ``quarantine``, ``commit`` are its steps); ``copy``
brings files in.
"""
