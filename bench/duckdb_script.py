"""The eight STEDI tables with DuckDB alone: what a competent user writes by hand.

    python bench/duckdb_script.py LANDING OUT

The yardstick of `make bench`: the same tables under the default policies, as
one Parquet file each (`OUT/<table>.parquet`), with nothing around them: no
checks, no quarantine, no atomic replacement, no rerun of a single day. It is
meant to be as fast as a plain script gets; where a variant was faster it
replaced what stood here. Measured on 2 million accelerometer rows:

* Each landing table is written to Parquet and read back. Holding the tables
  in DuckDB took 1.3 times as long and twice the memory: their rows are then
  written twice, and reading Parquet back is nearly free.
* From `trusted` on a customer is an integer. Removing duplicates and joining
  on e-mails instead took 1.15 times as long.
* The landing day and the file come from an expression over the file name,
  which DuckDB evaluates per block. Joining a table of files took 0.1 s more.
* One file per table, with `landing_date` as a column: folders of
  `landing_date=` took 1.5 times as long and three times the memory.
* Left as DuckDB has them, as nothing was gained: compression (Snappy; none,
  LZ4, zstd), size of row groups, Parquet 2, threads. Sorting the readings by
  customer, which helps the encoding, costs what it saves.

`device_subject_id` is in a simple form: null where several customers who
consent claim the device and none of them is the wearer.

Nothing but the standard library and `duckdb` belongs here.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import duckdb

LANDING_SQL = r"""
-- The day on which a file landed: from its path, else from the milliseconds in its name.
CREATE MACRO landing_day(path) AS coalesce(
    try_cast(regexp_extract(path, '/landing_date=(\d{4}-\d\d-\d\d)/', 1) AS DATE),
    try_cast(replace(regexp_extract(path, '/(\d{4}/\d\d/\d\d)/', 1), '/', '-') AS DATE),
    CAST(epoch_ms(try_cast(regexp_extract(path, '-(\d{13})\.json', 1) AS BIGINT)) AS DATE)
);
CREATE MACRO source_file(path) AS path[length(getvariable('landing')) + 2:];

SET preserve_insertion_order = true;  -- the line number breaks ties between customer records

COPY (
    SELECT
        * EXCLUDE (filename),
        source_file(filename) AS source_file,
        landing_day(filename) AS landing_date
    FROM read_json(
        getvariable('landing') || '/customer_landing/**/*.json*',
        format = 'newline_delimited', filename = true, hive_partitioning = false,
        columns = {
            customerName: 'VARCHAR', email: 'VARCHAR', phone: 'VARCHAR', birthDay: 'VARCHAR',
            serialNumber: 'VARCHAR', registrationDate: 'BIGINT', lastUpdateDate: 'BIGINT',
            shareWithResearchAsOfDate: 'BIGINT', shareWithPublicAsOfDate: 'BIGINT',
            shareWithFriendsAsOfDate: 'BIGINT'
        }
    )
) TO 'customer_landing.parquet';

SET preserve_insertion_order = false;

COPY (
    SELECT
        * EXCLUDE (filename),
        source_file(filename) AS source_file,
        landing_day(filename) AS landing_date
    FROM read_json(
        getvariable('landing') || '/accelerometer_landing/**/*.json*',
        format = 'newline_delimited', filename = true, hive_partitioning = false,
        columns = {
            user: 'VARCHAR', timestamp: 'BIGINT', x: 'DOUBLE', y: 'DOUBLE', z: 'DOUBLE'
        }
    )
) TO 'accelerometer_landing.parquet';

COPY (
    SELECT
        * EXCLUDE (filename),
        source_file(filename) AS source_file,
        landing_day(filename) AS landing_date
    FROM read_json(
        getvariable('landing') || '/step_trainer_landing/**/*.json*',
        format = 'newline_delimited', filename = true, hive_partitioning = false,
        columns = {
            sensorReadingTime: 'BIGINT', serialNumber: 'VARCHAR', distanceFromObject: 'BIGINT'
        }
    )
) TO 'step_trainer_landing.parquet';
"""

TABLES_SQL = """
-- The latest record of each e-mail decides, for consent and for the device.
CREATE TABLE latest AS
SELECT
    * EXCLUDE (file_row_number),
    row_number() OVER () AS customer_id,
    coalesce(
        shareWithResearchAsOfDate > 0
        AND shareWithResearchAsOfDate < epoch_ms(landing_date + INTERVAL 1 DAY),
        false
    ) AS consents
FROM (
    SELECT * REPLACE (lower(trim(email)) AS email, lower(trim(serialNumber)) AS serialNumber)
    FROM read_parquet('customer_landing.parquet', file_row_number = true)
)
QUALIFY row_number() OVER (
    PARTITION BY email
    ORDER BY lastUpdateDate DESC, landing_date DESC, source_file DESC, file_row_number DESC
) = 1;

COPY (SELECT * EXCLUDE (customer_id, consents, source_file) FROM latest WHERE consents)
TO 'customer_trusted.parquet';

-- HMAC-SHA256 of the e-mail, from two hashes over the padded key.
CREATE TABLE trusted AS
SELECT
    customer_id,
    email,
    serialNumber,
    sha256(
        from_hex(getvariable('outer_pad'))
        || from_hex(sha256(from_hex(getvariable('inner_pad')) || encode(email)))
    ) AS subject_id
FROM latest
WHERE consents;

CREATE TABLE readings AS
SELECT DISTINCT t.customer_id, a.timestamp, a.x, a.y, a.z, a.landing_date
FROM 'accelerometer_landing.parquet' AS a
JOIN trusted AS t ON lower(trim(a."user")) = t.email;

COPY (
    SELECT t.email AS "user", r.* EXCLUDE (customer_id)
    FROM readings AS r
    JOIN trusted AS t USING (customer_id)
) TO 'accelerometer_trusted.parquet';

CREATE TABLE curated AS
SELECT * FROM trusted WHERE customer_id IN (SELECT customer_id FROM readings);

COPY (
    SELECT
        l.* EXCLUDE (customer_id, consents, source_file, landing_date),
        c.subject_id,
        l.landing_date
    FROM latest AS l
    JOIN curated AS c USING (customer_id)
) TO 'customers_curated.parquet';

-- A curated customer's device. Several may claim it; where one of them does not consent it is
-- "contested", where just one does they are its only owner.
CREATE TABLE devices AS
SELECT
    serialNumber,
    row_number() OVER () AS device_id,
    NOT bool_and(consents) AS contested,
    CASE WHEN count(*) FILTER (consents) = 1
        THEN max(customer_id) FILTER (consents) END AS only_owner
FROM latest
WHERE serialNumber IN (SELECT serialNumber FROM curated)
GROUP BY serialNumber;

-- The milliseconds at which a contested device was with people who consent.
CREATE TABLE cleared AS
SELECT d.device_id, a.timestamp
FROM 'accelerometer_landing.parquet' AS a
JOIN latest AS l ON lower(trim(a."user")) = l.email
JOIN devices AS d ON d.serialNumber = l.serialNumber AND d.contested
GROUP BY d.device_id, a.timestamp
HAVING bool_and(l.consents);

CREATE TABLE steps AS
SELECT DISTINCT d.device_id, s.sensorReadingTime, s.distanceFromObject, s.landing_date
FROM 'step_trainer_landing.parquet' AS s
JOIN devices AS d ON lower(trim(s.serialNumber)) = d.serialNumber
LEFT JOIN cleared AS c ON c.device_id = d.device_id AND c.timestamp = s.sensorReadingTime
WHERE NOT d.contested OR c.device_id IS NOT NULL;

COPY (
    SELECT s.sensorReadingTime, d.serialNumber, s.distanceFromObject, s.landing_date
    FROM steps AS s
    JOIN devices AS d USING (device_id)
) TO 'step_trainer_trusted.parquet';

-- A customer has one device, so the wearer owns it exactly where the two are equal.
COPY (
    WITH wearers AS (
        SELECT c.customer_id, c.subject_id, d.device_id
        FROM curated AS c JOIN devices AS d USING (serialNumber)
    ), owners AS (
        SELECT d.device_id, t.subject_id
        FROM devices AS d LEFT JOIN trusted AS t ON t.customer_id = d.only_owner
    )
    SELECT
        w.subject_id,
        CASE WHEN w.device_id = s.device_id THEN w.subject_id ELSE o.subject_id
            END AS device_subject_id,
        s.sensorReadingTime,
        s.distanceFromObject,
        r.x,
        r.y,
        r.z,
        w.device_id = s.device_id AS same_customer,
        greatest(s.landing_date, r.landing_date) AS landing_date
    FROM readings AS r
    JOIN steps AS s ON s.sensorReadingTime = r.timestamp
    JOIN wearers AS w ON w.customer_id = r.customer_id
    JOIN owners AS o ON o.device_id = s.device_id
) TO 'machine_learning_curated.parquet';
"""


def build(landing: Path, out: Path, key: bytes) -> None:
    """Make the eight tables of `landing` in the folder `out`, replacing what it holds."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    landing = landing.resolve()
    os.chdir(out)  # so that the SQL can name its files plainly

    con = duckdb.connect()
    con.execute("SET VARIABLE landing = $1", [landing.as_posix()])
    block = key.ljust(64, b"\0")  # a key longer than a block would have to be hashed first
    for name, pad in (("inner_pad", 0x36), ("outer_pad", 0x5C)):
        con.execute(f"SET VARIABLE {name} = '{bytes(byte ^ pad for byte in block).hex()}'")
    con.execute(LANDING_SQL)
    con.execute(TABLES_SQL)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: duckdb_script.py LANDING OUT")
    build(
        Path(sys.argv[1]),
        Path(sys.argv[2]),
        os.environ.get("STEDI_PSEUDONYM_KEY", "benchmark").encode(),
    )
