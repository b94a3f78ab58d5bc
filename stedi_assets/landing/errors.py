"""The errors of raw files."""

from __future__ import annotations


class UnreadableFileError(RuntimeError):
    """A raw file cannot be read: no permission, a damaged compressed stream, a broken disk; the message names it.

    So it is where the file goes beyond a limit: it is larger than `STEDI_LARGEST_FILE`, or more of its texts cannot be
    read than `STEDI_MOST_REJECTED`. The day's table is as it was.

    Remedy: mend the file, move it out of the landing folder, or raise the limit that the message names; the landing
    sensor or `stedi materialize` then runs the day.
    """
