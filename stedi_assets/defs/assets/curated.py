"""The curated zone: what data scientists use.

Dagster concept: asset.

One function per table, which hands its inputs and the pseudonyms to a transform. A condition on rows does not belong
here.
"""

from datetime import date
from typing import Any

import dagster as dg

from stedi_assets import transforms
from stedi_assets.defs.assets.common import table_asset
from stedi_assets.defs.io_manager import days_between
from stedi_assets.privacy.pseudonyms import Pseudonyms
from stedi_assets.settings import Policies
from stedi_assets.transforms.common import Cache


def curated_assets(first_day: date) -> list[dg.AssetsDefinition]:
    """The curated tables, as assets."""

    @table_asset("customers_curated", first_day)
    def customers_curated(
        customer_trusted: Any,
        accelerometer_trusted: Any,
        customer_landing: Any,
        pseudonyms: dg.ResourceParam[Pseudonyms],
        cache: dg.ResourceParam[Cache],
    ) -> Any:
        subject_ids = pseudonyms.subject_ids(customer_trusted)
        return transforms.customers_curated(
            customer_trusted, accelerometer_trusted, customer_landing, subject_ids, cache
        )

    @table_asset("consent_history", first_day)
    def consent_history(
        context: dg.AssetExecutionContext,
        customer_landing: Any,
        pseudonyms: dg.ResourceParam[Pseudonyms],
        cache: dg.ResourceParam[Cache],
    ) -> Any:
        keys = context.partition_key_range
        who = transforms.ever_consenting(customer_landing, days_between(keys.start, keys.end))
        return transforms.consent_history(customer_landing, pseudonyms.subject_ids(who), cache)

    @table_asset("machine_learning_curated", first_day)
    def machine_learning_curated(
        context: dg.AssetExecutionContext,
        step_trainer_trusted: Any,
        accelerometer_trusted: Any,
        customers_curated: Any,
        customer_landing: Any,
        policies: dg.ResourceParam[Policies],
        cache: dg.ResourceParam[Cache],
    ) -> Any:
        keys = context.partition_key_range
        return transforms.machine_learning_curated(
            step_trainer_trusted,
            accelerometer_trusted,
            customers_curated,
            customer_landing,
            days_between(keys.start, keys.end),
            policies.pairing,
            policies.readings_before_consent,
            cache,
        )

    return [customers_curated, consent_history, machine_learning_curated]
