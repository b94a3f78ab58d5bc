"""The rules, as pure functions from frames to a frame.

Written once with Narwhals, so they run on DuckDB relations, Spark and PyArrow and pandas frames
alike. No Dagster, no input or output, no settings read: what a rule depends on is an argument.
Columns come and go as the contracts name them.
"""

from stedi_assets.transforms.customers import consents, customer_trusted, customers_curated, latest_records
from stedi_assets.transforms.doubt import doubts, with_doubts
from stedi_assets.transforms.history import consent_history, ever_consenting
from stedi_assets.transforms.pairs import machine_learning_curated
from stedi_assets.transforms.readings import accelerometer_trusted, step_trainer_trusted

__all__ = [
    "accelerometer_trusted",
    "consent_history",
    "consents",
    "customer_trusted",
    "customers_curated",
    "doubts",
    "ever_consenting",
    "latest_records",
    "machine_learning_curated",
    "step_trainer_trusted",
    "with_doubts",
]
