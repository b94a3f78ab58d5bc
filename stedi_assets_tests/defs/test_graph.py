"""The asset graph: a snapshot of its whole shape, and the commands that load and run it.

``graph.json`` beside this file is the snapshot. Where a change of the graph is wanted, write it anew and read the
difference before you commit it::

    python -m stedi_assets_tests.defs.test_graph
"""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from stedi_assets import definitions as code_location
from stedi_assets.contracts import ASSET_TABLES, TABLES
from stedi_assets.contracts import table as contract
from stedi_assets.defs.asset_job import build_assets
from stedi_assets.defs.build import build_definitions
from stedi_assets.defs.erasure import QUEUE
from stedi_assets.resources import Resources
from stedi_assets.sample import write_sample
from stedi_assets.settings import Settings
from stedi_assets_tests.kit.commands import clean_environment
from stedi_assets_tests.kit.lake import SmallLake

SNAPSHOT = Path(__file__).with_name("graph.json")
HOUSE = Path(__file__).parents[2]
BIN = Path(sys.executable).parent


def shape(definitions: dg.Definitions) -> dict[str, Any]:
    """Everything about the graph that others rely on, as JSON."""
    repository = definitions.get_repository_def()
    graph = repository.asset_graph
    assets = {}
    for key in sorted(graph.get_all_asset_keys()):
        node = graph.get(key)
        policy = node.freshness_policy
        spec = next(spec for spec in definitions.resolve_all_asset_specs() if spec.key == key)
        mappings = {dep.asset_key.to_user_string(): type(dep.partition_mapping).__name__ for dep in spec.deps}
        assets[key.to_user_string()] = {
            "group": node.group_name,
            "deps": {dep.to_user_string(): mappings[dep.to_user_string()] for dep in sorted(node.parent_keys)},
            "kinds": sorted(node.kinds),
            "owners": sorted(node.owners),
            "tags": {name: value for name, value in sorted(node.tags.items()) if not name.startswith("dagster/kind")},
            "partitions": str(node.partitions_def),
            "backfill": node.backfill_policy.policy_type.value if node.backfill_policy else None,
            "freshness": None
            if policy is None
            else {name: str(getattr(policy, name).to_timedelta()) for name in ("warn_window", "fail_window")},
            "executable": node.is_executable,
            "described": bool(node.description),
            "checks": {
                check.name: "blocking" if graph.get_check_spec(check).blocking else "warning"
                for check in sorted(graph.get_check_keys_for_assets({key}), key=lambda check: check.name)
            },
        }
    return {
        "assets": assets,
        "jobs": {
            job.name: sorted(key.to_user_string() for key in job.asset_layer.selected_asset_keys)
            for job in repository.get_all_jobs()
            if not job.name.startswith("__")
        },
        "sensors": {
            sensor.name: {
                "job": sensor.job_name,
                "status": sensor.default_status.value,
                "seconds": sensor.minimum_interval_seconds,
            }
            for sensor in repository.sensor_defs
        },
        "schedules": sorted(schedule.name for schedule in repository.schedule_defs),
    }


@pytest.fixture(scope="module")
def definitions() -> dg.Definitions:
    return build_definitions(Settings())


def test_the_graph_is_as_the_snapshot_has_it(definitions: dg.Definitions) -> None:
    assert shape(definitions) == json.loads(SNAPSHOT.read_text()), (
        f"the graph is not {SNAPSHOT.name}'s; if that is wanted: python -m stedi_assets_tests.defs.test_graph"
    )


def test_every_table_is_there_with_its_columns_and_where_they_come_from(definitions: dg.Definitions) -> None:
    specs = {spec.key.to_user_string(): spec for spec in definitions.resolve_all_asset_specs()}
    assert specs.keys() == {*TABLES, QUEUE}
    for name, spec in specs.items():
        if name == QUEUE:
            continue
        table = contract(name)
        schema = spec.metadata["dagster/column_schema"]
        assert isinstance(schema, dg.TableSchema)
        assert [column.name for column in schema.columns] == list(table.column_names)
        assert all(column.description for column in schema.columns)
        lineage = spec.metadata.get("dagster/column_lineage")
        if table.zone.value == "landing":
            assert lineage is None, "landing columns come from files"
            continue
        assert isinstance(lineage, dg.TableColumnLineage)
        assert lineage.deps_by_column.keys() == set(table.column_names)
        for deps in lineage.deps_by_column.values():
            for dep in deps:
                assert dep.column_name in contract(dep.asset_key.to_user_string()).column_names


def test_building_the_graph_opens_nothing(tmp_path: Path) -> None:
    settings = Settings(str(tmp_path / "landing"), str(tmp_path / "lake"), dagster_home=tmp_path / "home")
    build_definitions(settings, Resources.of(settings)).get_repository_def()
    assert list(tmp_path.iterdir()) == []


def test_what_is_beta_in_dagster_and_used_on_purpose_warns_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        code_location.defs().get_repository_def()


# ---- as processes ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sample that landed on four days, not materialized."""
    root = tmp_path_factory.mktemp("graph")
    write_sample(str(root / "landing"), customers=30)
    (root / "home").mkdir()
    return root


def run(folder: Path, *command: str, cwd: Path | None = None) -> str:
    """Run a command on the sample; what it printed."""
    done = subprocess.run(
        [str(BIN / command[0]), *command[1:]],
        cwd=cwd or folder,
        env=clean_environment(
            folder,
            STEDI_LANDING_URI=str(folder / "landing"),
            STEDI_LAKE_URI=str(folder / "lake"),
            DAGSTER_HOME=str(folder / "home"),
        ),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return done.stdout + done.stderr


@pytest.mark.process
@pytest.mark.slow
def test_dagster_validates_it(folder: Path) -> None:
    assert "Validation successful for code location stedi_assets" in run(
        folder, "dagster", "definitions", "validate", "-w", str(HOUSE / "workspace.yaml"), cwd=HOUSE
    )


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.skipif(not (BIN / "dg").exists(), reason="dg is not installed: pip install dagster-dg-cli")
def test_dg_checks_it(folder: Path) -> None:
    run(folder, "dg", "check", "defs", cwd=HOUSE)


@pytest.mark.process
@pytest.mark.slow
def test_dagster_materializes_a_partition_and_a_range(folder: Path) -> None:
    command = ("dagster", "asset", "materialize", "--select", "*", "-m", "stedi_assets.definitions")
    run(folder, *command, "--partition", "2023-08-06")
    lake = SmallLake.at(folder)
    assert {row[0].isoformat() for row in lake.rows("accelerometer_landing", "DISTINCT landing_date")} == {"2023-08-06"}
    run(folder, *command, "--partition-range", "2023-08-03...2023-08-06")
    expected = json.loads((folder / "landing" / "expected_counts.json").read_text())
    assert {name: lake.count(name) for name in expected} == expected
    lake.close()

    instance = dg.DagsterInstance.from_config(str(folder / "home"))
    for table in ASSET_TABLES:
        days = instance.get_materialized_partitions(dg.AssetKey(table.name))
        assert days == {"2023-08-03", "2023-08-04", "2023-08-05", "2023-08-06"}
        event = instance.get_latest_materialization_event(dg.AssetKey(table.name))
        assert event is not None
        materialization = event.asset_materialization
        assert materialization is not None
        assert materialization.metadata["dagster/row_count"].value == expected[table.name]
    instance.dispose()


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    SNAPSHOT.write_text(json.dumps(shape(build_definitions(Settings())), indent=2) + "\n")


def test_each_asset_links_to_its_source() -> None:
    for definition in build_assets(Settings()):
        for spec in definition.specs if isinstance(definition, dg.AssetsDefinition) else ():
            if spec.key.to_user_string() not in {table.name for table in ASSET_TABLES}:
                continue
            (reference,) = spec.metadata["dagster/code_references"].code_references
            lines = Path(reference.file_path).read_text().splitlines()
            assert "@table_asset" in lines[reference.line_number - 1]
