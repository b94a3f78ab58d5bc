"""Secrets in files: made once, readable by their owner only, never replaced behind anybody's back."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Callable
from pathlib import Path

_BYTES = 32


class SecretKeyError(RuntimeError):
    """A secret key is missing or not secret; the message says what to do."""


def read_or_make(path: Path, what: str, otherwise: str, in_use: Callable[[], str]) -> bytes:
    """Read a key, or make it if there is none.

    Args:
        path: where it lies.
        what: the key is, as in ``"pseudonym key"``.
        otherwise: what can be done where the file cannot be made, as a sentence.
        in_use: says what depends on the key already, so that a new one would not do; nothing where nothing does.

    Raises:
        SecretKeyError: others than its owner can read it, there is nothing in it, or it was lost.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            why = in_use()
            if why:
                msg = f"The {what} {path} is gone. {why} Put it back from your backup of secrets."
                raise SecretKeyError(msg)
            _make(path)
    except OSError as error:
        msg = f"Cannot make the {what} {path}: {error.strerror}. {otherwise}"
        raise SecretKeyError(msg) from error
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        msg = (
            f"The {what} {path} can be read by others (mode {mode:04o}; expected 0600), so what it hides may be "
            f"undone. Run: chmod 600 {path} - and if others did read it, make a new lake with a new key."
        )
        raise SecretKeyError(msg)
    key = path.read_text().strip().encode()
    if not key:
        msg = (
            f"The {what} {path} is empty, so anybody could compute what it hides. Put the key back; "
            "if there never was one, delete the file, and a new one is made."
        )
        raise SecretKeyError(msg)
    return key


def _make(path: Path) -> None:
    # Written aside and linked, so that of several processes that make it at once all read one whole key.
    made = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(_BYTES) + "\n")
        os.link(made, path)
    except FileExistsError:
        pass
    finally:
        made.unlink(missing_ok=True)
