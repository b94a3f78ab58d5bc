"""The eight STEDI tables with PySpark alone: what a good Spark user writes by hand.

    python bench/pyspark_job.py LANDING OUT

The other yardstick of `make bench`: the same tables under the default policies
as Parquet (`OUT/<table>/`), on `local[2]`, with no checks and no quarantine.
Schemas are given, so that no job is spent on guessing them; landing tables are
written once and read back from Parquet; small tables are broadcast; shuffles
have as many partitions as the data needs, not the default 200.

`device_subject_id` is in a simple form: null where several customers who
consent claim the device and none of them is the wearer.

Nothing but the standard library and `pyspark` belongs here.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as sf

CORES = 2
SHUFFLE_BYTES = 64 * 2**20  # of landing JSON for each partition of a shuffle

SCHEMAS = {
    "customer_landing": """
        customerName STRING, email STRING, phone STRING, birthDay STRING, serialNumber STRING,
        registrationDate BIGINT, lastUpdateDate BIGINT, shareWithResearchAsOfDate BIGINT,
        shareWithPublicAsOfDate BIGINT, shareWithFriendsAsOfDate BIGINT
    """,
    "accelerometer_landing": "user STRING, timestamp BIGINT, x DOUBLE, y DOUBLE, z DOUBLE",
    "step_trainer_landing": ("sensorReadingTime BIGINT, serialNumber STRING, distanceFromObject BIGINT"),
}


def session(landing: Path) -> SparkSession:
    """Return a local session with two worker threads, shuffling what is in `landing`."""
    size = sum(path.stat().st_size for path in landing.rglob("*.json*"))
    partitions = max(CORES, size // SHUFFLE_BYTES)
    spark: SparkSession = (
        SparkSession.builder.master(f"local[{CORES}]")
        .appName("stedi-benchmark")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.memory", "4g")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.shuffle.partitions", str(partitions))
        .config("spark.ui.showConsoleProgress", "false")
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("ERROR")
    return spark


def landing_day(path: Column) -> Column:
    """The day on which a file landed: from its path, else from the milliseconds in its name."""
    in_path = sf.regexp_extract(path, r"/landing_date=(\d{4}-\d\d-\d\d)/", 1)
    folders = sf.regexp_replace(sf.regexp_extract(path, r"/(\d{4}/\d\d/\d\d)/", 1), "/", "-")
    millis = sf.regexp_extract(path, r"-(\d{13})\.json", 1)
    return sf.coalesce(
        sf.nullif(in_path, sf.lit("")).cast("date"),
        sf.nullif(folders, sf.lit("")).cast("date"),
        sf.timestamp_millis(sf.nullif(millis, sf.lit("")).cast("bigint")).cast("date"),
    )


def key_of(name: str) -> Column:
    """An e-mail or serial number as it is compared and stored."""
    return sf.lower(sf.trim(sf.col(name)))


def subject_id(email: Column, key: bytes) -> Column:
    """HMAC-SHA256 of an e-mail in hex, from two hashes over the padded key."""
    block = key.ljust(64, b"\0")  # a key longer than a block would have to be hashed first
    inner, outer = (sf.lit(bytes(byte ^ pad for byte in block)) for pad in (0x36, 0x5C))
    hashed = sf.unhex(sf.sha2(sf.concat(inner, sf.encode(email, "UTF-8")), 256))
    return sf.sha2(sf.concat(outer, hashed), 256)


class Job:
    """Reads the landing folder, writes each table, and hands on what was written."""

    def __init__(self, spark: SparkSession, landing: Path, out: Path) -> None:
        """Take the session and the two folders."""
        self.spark = spark
        self.landing = landing.resolve()
        self.out = out.resolve()

    def save(self, frame: DataFrame, table: str) -> DataFrame:
        """Write a table and return it as it reads back, which breaks the lineage."""
        path = (self.out / table).as_posix()
        frame.write.mode("overwrite").parquet(path)
        return self.spark.read.schema(frame.schema).parquet(path)

    def land(self, table: str) -> DataFrame:
        """Write a landing table: typed, as delivered, with the file and its landing day."""
        folder = (self.landing / table).as_posix()
        path = sf.col("_metadata.file_path")
        below = sf.regexp_extract(path, rf"({table}/.*)$", 1)
        frame = (
            self.spark.read.schema(SCHEMAS[table])
            .option("recursiveFileLookup", "true")
            .option("pathGlobFilter", "*.json*")
            .json(folder)
            .select("*", below.alias("source_file"), landing_day(path).alias("landing_date"))
        )
        return self.save(frame, table)

    def run(self, key: bytes) -> None:
        """Make the eight tables."""
        customers, accelerometer, steps = (self.land(table) for table in SCHEMAS)

        # The latest record of each e-mail decides, for consent and for the device.
        newest_first = Window.partitionBy("email").orderBy(
            sf.desc("lastUpdateDate"), sf.desc("landing_date"), sf.desc("source_file"), sf.desc("line")
        )
        day_after = sf.unix_millis(sf.date_add("landing_date", 1).cast("timestamp"))
        research, never = sf.col("shareWithResearchAsOfDate"), sf.expr("false")
        latest = (
            customers.withColumn("email", key_of("email"))
            .withColumn("serialNumber", key_of("serialNumber"))
            .withColumn("line", sf.monotonically_increasing_id())
            .withColumn("age", sf.row_number().over(newest_first))
            .where("age = 1")
            .withColumn("consents", sf.ifnull((research > 0) & (research < day_after), never))
            .drop("age", "line", "source_file")
            .cache()
        )
        trusted = self.save(latest.where("consents").drop("consents"), "customer_trusted")

        emails = sf.broadcast(trusted.select(sf.col("email").alias("user")))
        readings = self.save(
            accelerometer.withColumn("user", key_of("user")).drop("source_file").join(emails, "user").dropDuplicates(),
            "accelerometer_trusted",
        )

        with_readings = readings.select(sf.col("user").alias("email")).distinct()
        curated = self.save(
            trusted.join(with_readings, "email", "left_semi")
            .withColumn("subject_id", subject_id(sf.col("email"), key))
            .select(*trusted.columns[:-1], "subject_id", "landing_date"),
            "customers_curated",
        )

        devices = self.devices(latest, curated, key).cache()
        trusted_steps = self.save(self.usable(steps, devices, accelerometer, latest), "step_trainer_trusted")
        self.save(self.pairs(readings, trusted_steps, curated, devices), "machine_learning_curated")

    @staticmethod
    def devices(latest: DataFrame, curated: DataFrame, key: bytes) -> DataFrame:
        """One row per device of a curated customer.

        `contested`: a claimant does not consent. `owner_id`: the subject id of the one
        claimant who does, null where there are several.
        """
        consenting = sf.when(sf.col("consents"), sf.col("email"))
        owner = sf.when(sf.count(consenting) == 1, sf.max(consenting))
        return (
            latest.join(sf.broadcast(curated.select("serialNumber").distinct()), "serialNumber")
            .groupBy("serialNumber")
            .agg((~sf.bool_and("consents")).alias("contested"), owner.alias("owner"))
            .withColumn("owner_id", subject_id(sf.col("owner"), key))
            .drop("owner")
        )

    @staticmethod
    def usable(steps: DataFrame, devices: DataFrame, accelerometer: DataFrame, latest: DataFrame) -> DataFrame:
        """The step readings of devices, of contested ones only those that can be told apart."""
        contested = sf.broadcast(devices.where("contested").select("serialNumber"))
        claimants = sf.broadcast(
            latest.join(contested, "serialNumber").select(sf.col("email").alias("user"), "serialNumber", "consents")
        )
        cleared = (
            accelerometer.select(key_of("user").alias("user"), "timestamp")
            .join(claimants, "user")
            .groupBy("serialNumber", sf.col("timestamp").alias("sensorReadingTime"))
            .agg(sf.bool_and("consents").alias("cleared"))
        )
        return (
            steps.withColumn("serialNumber", key_of("serialNumber"))
            .drop("source_file")
            .join(sf.broadcast(devices.select("serialNumber", "contested")), "serialNumber")
            .dropDuplicates()
            .join(sf.broadcast(cleared), ["serialNumber", "sensorReadingTime"], "left")
            .where("NOT contested OR cleared")
            .select("sensorReadingTime", "serialNumber", "distanceFromObject", "landing_date")
        )

    @staticmethod
    def pairs(readings: DataFrame, steps: DataFrame, curated: DataFrame, devices: DataFrame) -> DataFrame:
        """Each step reading with each accelerometer reading of its millisecond.

        A customer has one device, so the wearer owns it exactly where the two are equal.
        """
        worn = readings.join(
            sf.broadcast(
                curated.select(
                    sf.col("email").alias("user"),
                    "subject_id",
                    sf.col("serialNumber").alias("own_device"),
                )
            ),
            "user",
        ).withColumnRenamed("landing_date", "reading_landed")
        taken = steps.join(sf.broadcast(devices.select("serialNumber", "owner_id")), "serialNumber").withColumnRenamed(
            "landing_date", "step_landed"
        )
        same = sf.col("own_device") == sf.col("serialNumber")
        device = sf.when(same, sf.col("subject_id")).otherwise(sf.col("owner_id"))
        return worn.join(taken, sf.col("timestamp") == sf.col("sensorReadingTime")).select(
            "subject_id",
            device.alias("device_subject_id"),
            "sensorReadingTime",
            "distanceFromObject",
            "x",
            "y",
            "z",
            same.alias("same_customer"),
            sf.greatest("step_landed", "reading_landed").alias("landing_date"),
        )


def main() -> None:
    """Run the job over the folders named on the command line."""
    if len(sys.argv) != 3:
        sys.exit("usage: pyspark_job.py LANDING OUT")
    landing, out = Path(sys.argv[1]), Path(sys.argv[2])
    spark = session(landing)
    try:
        key = os.environ.get("STEDI_PSEUDONYM_KEY", "benchmark").encode()
        Job(spark, landing, out).run(key)
    finally:
        spark.stop()


if __name__ == "__main__":
    main()
