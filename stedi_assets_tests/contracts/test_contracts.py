"""The contracts are sound, and so is what is rendered from them."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import stedi_assets
from stedi_assets.contracts import (
    ASSET_TABLES,
    DERIVED_TABLES,
    LANDING_TABLES,
    SIDE_TABLES,
    TABLES,
    Column,
    DataType,
    Privacy,
    Table,
    Zone,
    columns,
)
from stedi_assets.contracts import table as contract
from stedi_assets.contracts.render import arrow_schema, markdown, sql_type
from stedi_assets.defs.metadata import column_lineage, column_schema

INPUTS = {table.name: table.inputs for table in DERIVED_TABLES}
PACKAGE = Path(stedi_assets.__file__).parent
ROOT = PACKAGE.parent
DAY = date(2023, 8, 6)
PERSONAL = {Privacy.DIRECT_IDENTIFIER, Privacy.QUASI_IDENTIFIER}

each_table = pytest.mark.parametrize("table", TABLES.values(), ids=lambda table: table.name)


# --- contracts ----------------------------------------------------------------------------------

TEXT = Column("name", DataType.TEXT, Privacy.DIRECT_IDENTIFIER, "A name.")


def test_an_anonymous_table_cannot_declare_a_direct_identifier() -> None:
    with pytest.raises(ValueError, match=r"faces is anonymous, so it cannot .*'name'.*subject_id"):
        Table("faces", Zone.CURATED, "", (TEXT, columns.LANDING_DATE), anonymous=True)
    with pytest.raises(ValueError, match="cannot declare the direct identifiers"):
        replace(contract("customers_curated"), anonymous=True)


@pytest.mark.parametrize("privacy", sorted(PERSONAL))
def test_statistics_are_never_of_people(privacy: Privacy) -> None:
    with pytest.raises(ValueError, match=f"Column name: statistics would put its values .* a {privacy.value}"):
        replace(TEXT, privacy=privacy, statistics=True)
    for table in TABLES.values():
        assert not [column.name for column in table.columns if column.statistics and column.privacy in PERSONAL]


@pytest.mark.parametrize(
    "wrong",
    [{"key": ("nobody",)}, {"lineage": {"nobody": ()}}, {"partition_by": ("nobody",)}],
    ids=lambda wrong: next(iter(wrong)),
)
def test_a_table_names_columns_that_it_has(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"Table faces: \['nobody'\] are named"):
        Table("faces", Zone.CURATED, "", (columns.SUBJECT_ID, columns.LANDING_DATE), **wrong)


def test_a_table_has_each_column_once() -> None:
    with pytest.raises(ValueError, match=r"Table faces declares \['subject_id'\] more than once"):
        Table("faces", Zone.CURATED, "", (columns.SUBJECT_ID, columns.SUBJECT_ID, columns.LANDING_DATE))


def test_a_column_cannot_leave_out_its_privacy_class() -> None:
    with pytest.raises(TypeError, match="privacy"):
        Column("name", DataType.TEXT, description="")  # type: ignore[call-arg]


@pytest.mark.parametrize("name", ["machine_learning_curated", "consent_history"])
def test_what_data_scientists_use_is_anonymous(name: str) -> None:
    table = contract(name)
    assert table.anonymous
    assert not {"email", "user", "serialNumber", "customerName", "phone"} & set(table.column_names)


def test_every_column_of_the_dictionary_is_used_and_every_used_one_is_in_it() -> None:
    dictionary = {name: value for name, value in vars(columns).items() if isinstance(value, Column)}
    used = {column.name for table in TABLES.values() for column in table.columns}
    assert {column.name for column in dictionary.values()} == used
    assert len(dictionary) == len(used), "a name is defined twice"
    known = {column.name: column for column in dictionary.values()}
    for table in TABLES.values():
        for column in table.columns:
            # A table may be stricter than the dictionary, and nothing else.
            assert replace(column, required=known[column.name].required) == known[column.name]
            assert column.required >= known[column.name].required


@each_table
def test_every_table_is_sound(table: Table) -> None:
    assert table.columns[-1] is columns.LANDING_DATE
    assert "landing_date" in table.partition_by
    assert set(table.partition_by) == set(table.column_names[-len(table.partition_by) :])
    assert table.description.endswith(".")
    assert table.max_age > timedelta(0)
    assert TABLES[table.name] is contract(table.name) is table
    assert table.data_columns == tuple(c for c in table.columns if c.name not in table.partition_by)
    for column in table.columns:
        assert table.column(column.name) is column
        assert re.fullmatch(r"[a-z][A-Za-z]*|[a-z]+(_[a-z]+)*", column.name)
        assert column.description.endswith(".")
    with pytest.raises(KeyError, match=f"Table {table.name} has no column 'nobody'; it has "):
        table.column("nobody")


@each_table
def test_lineage_refers_to_columns_that_there_are(table: Table) -> None:
    for name, origins in table.lineage.items():
        assert table.column(name)
        assert origins
        for upstream, column in origins:
            assert contract(upstream).column(column)
    derived = table.name in INPUTS
    assert set(table.lineage) == (set(table.column_names) if derived else set())


@pytest.mark.parametrize("name", INPUTS)
def test_what_a_table_is_made_from_comes_before_it(name: str) -> None:
    order = [table.name for table in (*LANDING_TABLES, *SIDE_TABLES, *ASSET_TABLES[len(LANDING_TABLES) :])]
    origins = {table for origins in contract(name).lineage.values() for table, _ in origins}
    assert all(order.index(upstream) < order.index(name) for upstream in {*INPUTS[name], *origins})


def test_landing_tables_say_what_a_line_may_hold() -> None:
    assert [table.name for table in TABLES.values() if table.source] == [table.name for table in LANDING_TABLES]
    for table in LANDING_TABLES:
        assert table.source is not None
        assert table.columns[: len(table.source.fields)] == table.source.fields
        if table.source.event_time:
            assert table.column(table.source.event_time).type is DataType.INTEGER


def test_an_unknown_table_is_an_error_that_lists_those_there_are() -> None:
    with pytest.raises(KeyError, match="There is no table 'nothing'; there are customer_landing, "):
        contract("nothing")


# --- renderings ---------------------------------------------------------------------------------


@each_table
def test_arrow_and_sql(table: Table) -> None:
    types = {
        DataType.TEXT: (pa.string(), "VARCHAR"),
        DataType.INTEGER: (pa.int64(), "BIGINT"),
        DataType.NUMBER: (pa.float64(), "DOUBLE"),
        DataType.BOOLEAN: (pa.bool_(), "BOOLEAN"),
        DataType.DATE: (pa.date32(), "DATE"),
    }
    schema = arrow_schema(table)
    assert tuple(schema.names) == table.column_names
    for column in table.columns:
        assert (schema.field(column.name).type, sql_type(column)) == types[column.type]
        assert schema.field(column.name).nullable


@each_table
def test_column_schema_and_lineage(table: Table) -> None:
    schema = column_schema(table)
    assert [one.name for one in schema.columns] == list(table.column_names)
    for shown, column in zip(schema.columns, table.columns, strict=True):
        assert shown.type == sql_type(column).lower()
        assert shown.description == column.description
        assert shown.constraints.nullable is not column.required
        assert column.privacy.value in shown.constraints.other
        assert column.unit is None or column.unit in shown.constraints.other
    lineage = column_lineage(table).deps_by_column
    assert {
        name: sorted((d.asset_key.to_user_string(), d.column_name) for d in deps) for name, deps in lineage.items()
    } == {name: sorted(origins) for name, origins in table.lineage.items()}


def test_the_reference_page_is_what_the_contracts_say() -> None:
    page = (ROOT / "docs" / "tables.md").read_text(encoding="utf-8")
    assert page == markdown(tuple(TABLES.values())), "docs/tables.md is not up to date: run `make docs`"


def test_the_reference_page_names_everything() -> None:
    page = markdown(tuple(TABLES.values()))
    for table in TABLES.values():
        section = page.split(f"\n## {table.name}\n")[1].split("\n## ")[0]
        assert table.description in section
        assert section.count("\n| `") == len(table.columns)
        for column in table.columns:
            assert f"| `{column.name}` | {sql_type(column)} |" in section
            assert column.privacy.value in section
