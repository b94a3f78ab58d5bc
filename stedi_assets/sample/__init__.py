"""A synthetic landing zone: the statistical twin of the public STEDI data.

Here: inventing people, devices and readings, writing them as the devices' newline-delimited JSON, and saying
exactly how many rows every table must hold for them (by the reference computation, `stedi_assets.reference`).  Not
here: the pipeline (nothing of it is imported, so that the expected counts stay a second opinion), the command line,
and any row of the public data.
"""

from stedi_assets.sample.report import PolicyCounts, SampleReport
from stedi_assets.sample.write import DEFAULT_LAST_DAY, SampleError, last_day_there, write_sample

__all__ = ["DEFAULT_LAST_DAY", "PolicyCounts", "SampleError", "SampleReport", "last_day_there", "write_sample"]
