"""The guide to a new table works: its code is applied to a copy of the package, and a lake is made with it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GUIDE = ROOT / "docs" / "add-a-table.md"

STEDI = """
import sys
from stedi_assets.cli.main import cli
for line in sys.argv[1:]:
    cli(line.split("|"), standalone_mode=False)
"""
"""Runs several commands in one process, each with ``|`` between its arguments."""

SUBJECTS = (
    'query|--format|json|SELECT c.email, c."serialNumber", c.landing_date FROM subject_activity a '
    "LEFT JOIN customers_curated c USING (subject_id) GROUP BY ALL ORDER BY ALL"
)


def applied(folder: Path) -> Path:
    """A copy of the package with the guide's table in it, and the guide's test beside it."""
    package = folder / "stedi_assets"
    shutil.copytree(ROOT / "stedi_assets", package, ignore=shutil.ignore_patterns("__pycache__"))
    blocks = re.findall(r"^```python\n(.*?)^```$", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    table, transform, exported, fingerprint, asset, test = blocks

    def edit(name: str, *changes: tuple[str, str]) -> None:
        path = package / name
        text = path.read_text()
        for before, after in changes:
            assert before in text
            text = text.replace(before, after, 1)
        path.write_text(text)

    def append(name: str, block: str) -> None:
        path = package / name
        path.write_text(f"{path.read_text()}\n\n{block}")

    edit(
        "contracts/tables.py",
        ("import LandingSource,", "import Column, DataType, LandingSource, Privacy,"),
        ("\nLANDING_TABLES: tuple", f"\n{table}\nLANDING_TABLES: tuple"),
        ("    MACHINE_LEARNING_CURATED,\n)", "    MACHINE_LEARNING_CURATED,\n    SUBJECT_ACTIVITY,\n)"),
    )
    (package / "transforms" / "activity.py").write_text(transform)
    edit(
        "transforms/__init__.py",
        ("from stedi_assets.transforms.customers", f"{exported}from stedi_assets.transforms.customers"),
        ('    "step_trainer_trusted",\n', '    "step_trainer_trusted",\n    "subject_activity",\n'),
    )
    append("staleness/fingerprints.py", fingerprint)
    returned = "    return [customers_curated, consent_history, machine_learning_curated"
    edit("defs/assets/curated.py", (f"{returned}]", f"{asset}\n{returned}, subject_activity]"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    (folder / "test_activity.py").write_text(test)
    return folder


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., str]:
    folder = applied(tmp_path)
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("STEDI_", "DAGSTER_"))}
    environment |= {
        "PYTHONPATH": str(folder),
        "STEDI_LANDING_URI": str(folder / "landing"),
        "STEDI_LAKE_URI": str(folder / "lake"),
        "STEDI_PRIVACY_URI": str(folder / "privacy"),
        "DAGSTER_HOME": str(folder / "dagster"),
    }

    def python(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        return done.stdout

    return python


@pytest.mark.parametrize("row", re.findall(r"^\| (`.+?py`.*) \| (.+) \|$", GUIDE.read_text(), re.MULTILINE), ids=str)
def test_what_the_guide_says_of_a_file_is_there(row: tuple[str, str]) -> None:
    """The files that a new table needs to be known in, and the names in them; the last rows name places only."""
    where, what = row
    files = [ROOT / name for name in re.findall(r"`([\w/]+\.py)`", where)]
    files = [file if file.exists() else ROOT / "stedi_assets_tests" / file.relative_to(ROOT) for file in files]
    assert all(file.exists() for file in files)
    beside = [ROOT / "stedi_assets_tests" / name for name in re.findall(r"`((?:kit|staleness)/\w+\.py)`", what)]
    text = "".join(file.read_text() for file in (*files, *beside))
    names = [name for name in re.findall(r"`(_?[A-Za-z_]+)`", what) if name != "row_count"]
    assert [name for name in names if not re.search(rf"\b{name}\b", text)] == []


@pytest.mark.slow
def test_the_table_of_the_guide_is_made_and_loses_who_withdraws(tmp_path: Path, run: Callable[..., str]) -> None:
    def queried(*commands: str) -> list[dict[str, str]]:
        return [json.loads(line) for line in run("-c", STEDI, *commands).splitlines() if line.startswith("{")]

    run("-m", "pytest", "-q", "-p", "no:cacheprovider", "test_activity.py")
    # What `make lint` (but for mypy, which takes a minute) and `make docs` say of the package.
    run("-m", "ruff", "check", "--no-cache", "stedi_assets")
    assert "`curated/subject_activity`" in run("-m", "stedi_assets.contracts.render")
    leaving, *others = queried("sample|--customers|20|--days|2", "materialize", SUBJECTS)
    day = leaving["landing_date"]
    at_its_end = datetime.fromisoformat(f"{day}T23:59:59+00:00").timestamp() * 1000
    record = {"email": leaving["email"], "serialNumber": leaving["serialNumber"], "lastUpdateDate": int(at_its_end)}
    landed = tmp_path / "landing" / "customer_landing" / f"landing_date={day}" / "withdrawal.json"
    landed.parent.mkdir(exist_ok=True)
    landed.write_text(json.dumps(record) + "\n")

    assert others
    # The dry run exits with 1 if anything is stale.
    assert queried("materialize", SUBJECTS, "materialize|--dry-run") == others
