"""The row counts that tables should have, where they are known."""

from __future__ import annotations

import json
from pathlib import Path

from stedi_assets.settings import Policies, Settings


class ExpectedCountsError(ValueError):
    """The file of expected row counts is not a JSON object ``{table: rows}``; the message names it.

    Remedy: mend it, or unset `STEDI_EXPECTED_COUNTS`.
    """


def expected_counts(settings: Settings) -> dict[str, int]:
    """The row counts that tables should have: ``STEDI_EXPECTED_COUNTS``, else the sample generator's, else none.

    Raises:
        ExpectedCountsError: the file does not hold ``{table: rows}``.
    """
    landing, policies = Path(settings.landing_uri), settings.policies
    path = Path(settings.expected_counts or landing / "expected_counts.json")
    if not settings.expected_counts and ("://" in settings.landing_uri or not path.exists()):
        return {}
    of_policies = landing / "expected_counts.details.json"
    by_policy = not settings.expected_counts and policies != Policies() and of_policies.exists()
    try:
        counts = json.loads((of_policies if by_policy else path).read_text())
        if by_policy:
            # What the sample generator counts for every combination of the policies.
            name = f"{policies.readings_before_consent.value}/{policies.pairing.value}"
            counts = counts["policies"][name]["tables"]
        return {str(name): int(rows) for name, rows in counts.items() if isinstance(rows, int)}
    except (OSError, ValueError, AttributeError, LookupError, TypeError) as error:
        why = getattr(error, "strerror", None) or type(error).__name__
        msg = f"Cannot use the expected counts in {path}: {why}. Expected a JSON object {{table: rows}}."
        raise ExpectedCountsError(msg) from error
