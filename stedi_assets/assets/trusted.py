"""The trusted zone: only what customers who share with research left behind."""

from datetime import date
from typing import Any

import dagster as dg

from stedi_assets import transforms
from stedi_assets.assets.common import table_asset
from stedi_assets.settings import Policies
from stedi_assets.transforms.common import Hold


def trusted_assets(first_day: date) -> list[dg.AssetsDefinition]:
    """The trusted tables, as assets."""

    @table_asset("customer_trusted", first_day)
    def customer_trusted(customer_landing: Any, hold: dg.ResourceParam[Hold]) -> Any:
        return transforms.customer_trusted(customer_landing, hold)

    @table_asset("accelerometer_trusted", first_day, deps=["customer_trusted"])
    def accelerometer_trusted(
        accelerometer_landing: Any,
        customer_landing: Any,
        policies: dg.ResourceParam[Policies],
        hold: dg.ResourceParam[Hold],
    ) -> Any:
        return transforms.accelerometer_trusted(
            accelerometer_landing, customer_landing, policies.readings_before_consent, hold
        )

    @table_asset("step_trainer_trusted", first_day)
    def step_trainer_trusted(
        step_trainer_landing: Any,
        customers_curated: Any,
        customer_landing: Any,
        accelerometer_landing: Any,
        policies: dg.ResourceParam[Policies],
        hold: dg.ResourceParam[Hold],
    ) -> Any:
        return transforms.step_trainer_trusted(
            step_trainer_landing,
            customers_curated,
            customer_landing,
            accelerometer_landing,
            policies.readings_before_consent,
            hold,
        )

    return [customer_trusted, accelerometer_trusted, step_trainer_trusted]
