"""Importing the package opens nothing, loads what is needed and takes little time.

Which package may import which is checked by ``make lint``.
"""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

import stedi_assets
from stedi_assets.contracts import ASSET_TABLES
from stedi_assets.settings import Settings

PACKAGE = Path(stedi_assets.__file__).parent
ROOT = PACKAGE.parent

READING = """
import sys
import stedi_assets.cli.main, stedi_assets.expected_counts, stedi_assets.staleness.stale
import stedi_assets.subject_requests.explain, stedi_assets.subject_requests.export
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""


def test_whoever_only_reads_does_not_wait_for_dagster_and_pandas() -> None:
    said = subprocess.run([sys.executable, "-c", READING], capture_output=True, text=True, check=True)
    assert {"duckdb", "pyarrow"} <= set(said.stdout.split())
    assert not {"dagster", "pandas", "pyspark"} & set(said.stdout.split())


def test_only_the_settings_read_the_environment() -> None:
    readers = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            name = getattr(node, "attr", None) or getattr(node, "id", None)
            names = [alias.name for alias in node.names] if isinstance(node, ast.ImportFrom) else [name]
            if {"environ", "environb", "getenv"} & {name for name in names if name}:
                readers.add(path.relative_to(PACKAGE).as_posix())
    assert readers == {"settings.py"}


WATCH = """
import json, os, sys, time
start = time.process_time()
seen = []
def watch(event, arguments):
    if event == "open":
        path, mode, flags = (*arguments, None, None)[:3]
        if isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_TRUNC):
            seen.append(f"opened for writing: {path}")
    elif event in ("os.mkdir", "os.remove", "os.rename", "os.link", "os.symlink", "shutil.rmtree"):
        seen.append(f"{event}: {arguments[0]}")
    elif event in ("socket.connect", "socket.bind", "socket.getaddrinfo", "subprocess.Popen", "os.system"):
        seen.append(f"{event}: {arguments[-1]}")
sys.addaudithook(watch)
import stedi_assets.definitions
stedi_assets.definitions.defs().resolve_asset_graph()
print(json.dumps({"seen": seen, "seconds": time.process_time() - start, "modules": sorted(sys.modules)}))
"""


def loaded(folder: Path) -> dict[str, Any]:
    """What loading the code location does, in a process of its own."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("STEDI_")}
    environment |= {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    said = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", WATCH], cwd=folder, env=environment, capture_output=True, check=False
    )
    assert said.returncode == 0, said.stderr.decode()
    found: dict[str, Any] = json.loads(said.stdout.splitlines()[-1])
    return found


@pytest.mark.process
@pytest.mark.slow
def test_loading_the_code_location_does_no_io_and_takes_under_3_s_of_the_processor(tmp_path: Path) -> None:
    tries = [loaded(tmp_path)]
    # Libraries look for shared objects with the system's own tools; that is theirs, and changes nothing.
    seen = [what for what in tries[0]["seen"] if "/dev/null" not in what and "'LC_ALL': 'C'" not in what]
    assert seen == []
    assert list(tmp_path.iterdir()) == []
    assert not {"pyspark", "pandas.tests", "s3fs"} & set(tries[0]["modules"])
    while min(one["seconds"] for one in tries) >= 3 and len(tries) < 4:
        tries.append(loaded(tmp_path))  # a machine that is busy with other things is slower
    assert min(one["seconds"] for one in tries) < 3


def test_loading_opens_no_database(monkeypatch: pytest.MonkeyPatch) -> None:
    """DuckDB and delta-rs work below Python's audit events, so their own doors are watched."""
    import deltalake
    import duckdb

    from stedi_assets.defs.build import build_definitions

    def refuse(*_: object, **__: object) -> None:
        pytest.fail("loading the definitions opened a database")

    monkeypatch.setattr(duckdb, "connect", refuse)
    monkeypatch.setattr(deltalake.DeltaTable, "__init__", refuse)
    definitions = build_definitions(Settings())
    assert isinstance(definitions, dg.Definitions)
    assert len(definitions.resolve_asset_graph().materializable_asset_keys) == len(ASSET_TABLES)
