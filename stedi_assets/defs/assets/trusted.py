"""The trusted zone: only data of customers who share with research.

Dagster concept: asset.

One function per table, which hands its inputs to a transform. A condition on rows does not belong here.
"""

from datetime import date
from typing import Any

import dagster as dg

from stedi_assets import transforms
from stedi_assets.defs.assets.common import table_asset
from stedi_assets.settings import Policies
from stedi_assets.transforms.common import Cache


def trusted_assets(first_day: date) -> list[dg.AssetsDefinition]:
    """The trusted tables, as assets."""

    @table_asset("customer_trusted", first_day)
    def customer_trusted(customer_landing: Any, cache: dg.ResourceParam[Cache]) -> Any:
        return transforms.customer_trusted(customer_landing, cache)

    @table_asset("accelerometer_trusted", first_day, deps=["customer_trusted"])
    def accelerometer_trusted(
        accelerometer_landing: Any,
        customer_landing: Any,
        policies: dg.ResourceParam[Policies],
        cache: dg.ResourceParam[Cache],
    ) -> Any:
        return transforms.accelerometer_trusted(
            accelerometer_landing, customer_landing, policies.readings_before_consent, cache
        )

    @table_asset("step_trainer_trusted", first_day)
    def step_trainer_trusted(
        step_trainer_landing: Any,
        customers_curated: Any,
        customer_landing: Any,
        accelerometer_landing: Any,
        policies: dg.ResourceParam[Policies],
        cache: dg.ResourceParam[Cache],
    ) -> Any:
        return transforms.step_trainer_trusted(
            step_trainer_landing,
            customers_curated,
            customer_landing,
            accelerometer_landing,
            policies.readings_before_consent,
            cache,
        )

    return [customer_trusted, accelerometer_trusted, step_trainer_trusted]
