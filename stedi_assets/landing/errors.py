"""The errors of raw files."""

from __future__ import annotations


class UnreadableFileError(RuntimeError):
    """A raw file cannot be read: no permission, a damaged compressed stream, a broken disk; the message names it.

    The day's table is as it was.

    Remedy: mend the file or move it out of the landing folder; the landing sensor or `stedi materialize` then runs the
    day.
    """
