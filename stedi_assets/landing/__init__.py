"""The landing zone: which raw files there are, what their texts say, and how they become the landing tables.

``files`` lists and dates raw files, ``profile`` takes their digest and counts. ``decode`` gives their text, ``texts``
finds the objects in it, and ``fast_path`` and ``parse`` turn them into rows at speed. ``manifest`` is the record of
what became of each file, ``rejections`` says what of them was not read, and ``differences`` which days are to be run;
``ingest`` runs them (``day_plan``, ``reading``, ``suppress``, ``quarantine``, ``commit`` are its steps). ``copy``
brings files in. ``sample_lake`` says whether all of it is a sample.
"""
