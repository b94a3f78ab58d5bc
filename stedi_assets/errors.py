"""Keeps the values of rows out of errors.

Whatever an asset, a check or the sensor raises is stored by Dagster, with its causes, and printed. The
message of an engine's error may quote a value (``Could not convert string 'ann@example.com' to INT64``), so
at the edge to Dagster only the error's class and the place in the code are kept. Errors of this package are
composed of names and numbers, and pass as they are; what caused them does not.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_SPEAK_FOR_THEMSELVES = ("stedi_assets", "dagster", "click", "_internal", "deltalake")
"""Packages whose messages hold no value of a row; delta-rs (``_internal``) reads logs, never data files."""

_HINTS = {
    "OutOfMemoryException": " Give the engine more memory (STEDI_MEMORY_LIMIT), or run fewer days at once.",
    "IOException": " A file of the table or the disk could not be read or written.",
}


class RedactedError(RuntimeError):
    """Something failed with an error whose message may quote a row; this one says what, where and of which class."""


@contextmanager
def redact_errors(what: str) -> Iterator[None]:
    """Let errors out of the block only without values of rows.

    Args:
        what: was being done, as in ``"making customer_trusted"``.

    Raises:
        RedactedError: in place of an error that may hold a value.
    """
    try:
        yield
    except Exception as error:
        if is_safe_to_show(error):
            error.__cause__, error.__suppress_context__ = None, True
            raise
        raise RedactedError(f"Failed {what}: {described(error)}").with_traceback(error.__traceback__) from None


def is_safe_to_show(error: BaseException) -> bool:
    """Whether the message of ``error`` can hold no value of a row."""
    return type(error).__module__.partition(".")[0] in _SPEAK_FOR_THEMSELVES


def described(error: BaseException) -> str:
    """A description of an error without its message: its class, the place in our code, and what may help."""
    kind = type(error)
    name = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__.lstrip('_')}.{kind.__name__}"
    if isinstance(error, OSError) and error.strerror:
        # The operating system's words: "Permission denied", "No space left on device".
        name += f" ({error.strerror})"
    ours = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_ours(frame.filename)]
    place = f" at {_below_root(ours[-1].filename)}:{ours[-1].lineno}, in {ours[-1].name}" if ours else ""
    hint = _HINTS.get(kind.__name__, "")
    return f"{name}{place}. Its message is withheld, because it may quote a row.{hint}"


def _is_ours(filename: str) -> bool:
    path = Path(filename)
    return _ROOT in path.parents and path != _HERE


def _below_root(filename: str) -> str:
    return Path(filename).relative_to(_ROOT.parent).as_posix()


_HERE = Path(__file__)
_ROOT = _HERE.parent
