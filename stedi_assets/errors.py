"""Keeps the values of rows out of errors.

Whatever an asset, a check or the sensor raises is stored by Dagster, with its causes, and printed. The
message of an engine's error may quote a value (``Could not convert string 'ann@example.com' to INT64``), so
at the edge to Dagster only the error's class and the place in the code are kept: what asked the engine, where in
the engine it was raised, and which table was at work. Errors of this package are composed of names and numbers, and
pass as they are; what caused them does not.

Messages are let through where every lake that this process has opened says that it may be: the lake of a sample whose
people are invented, if its user asks for it. Which lake that is, is not decided here.
"""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_SPEAK_FOR_THEMSELVES = ("stedi_assets", "dagster", "click", "_internal", "deltalake")
"""Packages whose messages hold no value of a row; delta-rs (``_internal``) reads logs, never data files."""

_HINTS = {
    "OutOfMemoryException": " Give the engine more memory (STEDI_MEMORY_LIMIT), or run fewer days at once.",
    "IOException": " A file of the table or the disk could not be read or written.",
}


_may_show: dict[str, Callable[[], bool]] = {}
"""Of each lake that this process has opened, what decides whether messages may be shown."""

_WORKED_ON = "_stedi_worked_on"
"""The attribute of an error that names the table at work."""


class RedactedError(RuntimeError):
    """An engine failed with a message that might quote a row, so only its class and the place in the code are kept.

    Remedy: ``OutOfMemoryException``: raise `STEDI_MEMORY_LIMIT` or run fewer days; ``IOException``: look at the disk;
    else try it on a sample with `STEDI_DEBUG_ERRORS=1`, which shows the message, and report it.
    """


def open_lake(lake: str, may_show: Callable[[], bool]) -> None:
    """Say whether messages of errors may be shown, as far as a lake is concerned that this process opens.

    They are shown only if every lake says so that was opened: an error does not say which one it is of.

    Args:
        lake: the lake's address.
        may_show: decides, when an error is described; an error of its own means no.
    """
    _may_show[lake] = may_show


@contextmanager
def working_on(table: str) -> Iterator[None]:
    """Have errors of the block name the table, unless a block within it has named another.

    Args:
        table: its name.
    """
    try:
        yield
    except Exception as error:
        if not hasattr(error, _WORKED_ON):
            with contextlib.suppress(AttributeError, TypeError):
                setattr(error, _WORKED_ON, table)
        raise


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
    """A description of an error without its message: its class, the place in our code, and what may help.

    The place is that of the code that asked the engine; of an error within ``engines``, that place is named as well.
    """
    kind = type(error)
    name = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__.lstrip('_')}.{kind.__name__}"
    if isinstance(error, OSError) and error.strerror:
        # The operating system's words: "Permission denied", "No space left on device".
        name += f" ({error.strerror})"
    table = getattr(error, _WORKED_ON, None)
    at_work = f", while {table} was at work" if table else ""
    hint = _HINTS.get(kind.__name__, "")
    if _messages_may_be_shown():
        return f"{name}{_place(error)}{at_work}. Its message is shown, as the people of this lake are invented: {error}"
    return f"{name}{_place(error)}{at_work}. Its message is withheld, because it may quote a row.{hint}"


def _messages_may_be_shown() -> bool:
    try:
        return bool(_may_show) and all(may_show() for may_show in _may_show.values())
    except Exception:
        return False


def _place(error: BaseException) -> str:
    """The innermost place in our code outside the engines, and the innermost one of all where that is another."""
    ours = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_ours(frame.filename)]
    if not ours:
        return ""
    outside = [frame for frame in ours if _ENGINES not in Path(frame.filename).parents]
    if not outside or outside[-1] is ours[-1]:
        return f" at {_named(ours[-1])}"
    return f" at {_named(outside[-1])} (raised at {_named(ours[-1])})"


def _named(frame: traceback.FrameSummary) -> str:
    return f"{_below_root(frame.filename)}:{frame.lineno}, in {frame.name}"


def _is_ours(filename: str) -> bool:
    path = Path(filename)
    return _ROOT in path.parents and path != _HERE


def _below_root(filename: str) -> str:
    return Path(filename).relative_to(_ROOT.parent).as_posix()


_HERE = Path(__file__)
_ROOT = _HERE.parent
_ENGINES = _ROOT / "engines"
