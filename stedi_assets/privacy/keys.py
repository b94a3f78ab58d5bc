"""Secret keys in files: created once, readable by their owner only, never replaced while something depends on them."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Callable
from pathlib import Path

from stedi_assets.settings import SHORTEST_KEY

_BYTES = 32


class SecretKeyError(RuntimeError):
    """The pseudonym key or the privacy key is lost, cannot be made, is empty, or can be read by others.

    Remedy: do what the message says; see [the key](operations.md#the-key).
    """


def read_or_create(path: Path, kind: str, remedy: str, dependents: Callable[[], str]) -> bytes:
    """Read a key, or create it if there is none.

    Args:
        path: the file.
        kind: the kind of key, as in ``"pseudonym key"``.
        remedy: what to do if the file cannot be created, as a sentence.
        dependents: returns a sentence about what depends on the key already, so that a new one would not do; an empty
            one where nothing does.

    Returns:
        The key.

    Raises:
        SecretKeyError: others than its owner can read it, there is too little in it, or it was lost.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            in_use = dependents()
            if in_use:
                msg = f"The {kind} {path} is gone. {in_use} Put it back from your backup of secrets."
                raise SecretKeyError(msg)
            _create(path)
    except OSError as error:
        msg = f"Cannot make the {kind} {path}: {error.strerror}. {remedy}"
        raise SecretKeyError(msg) from error
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        msg = (
            f"The {kind} {path} can be read by others (mode {mode:04o}; expected 0600), so what it hides may be "
            f"undone. Run: chmod 600 {path} - and if others did read it, make a new lake with a new key."
        )
        raise SecretKeyError(msg)
    key = path.read_text().strip().encode()
    if not key:
        msg = (
            f"The {kind} {path} is empty, so anybody could compute what it hides. Put the key back; "
            "if there never was one, delete the file, and a new one is made."
        )
        raise SecretKeyError(msg)
    if len(key) < SHORTEST_KEY:
        msg = (
            f"The {kind} {path} has {len(key)} characters, fewer than the {SHORTEST_KEY} that a key must have: it was "
            "cut off or written by hand. Put it back from your backup of secrets."
        )
        raise SecretKeyError(msg)
    return key


def _create(path: Path) -> None:
    # Written aside and linked, so that of several processes that create it at once all read one whole key.
    aside = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(_BYTES) + "\n")
        os.link(aside, path)
    except FileExistsError:
        pass
    finally:
        aside.unlink(missing_ok=True)
