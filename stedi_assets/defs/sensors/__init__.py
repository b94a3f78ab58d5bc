"""The sensors: they request runs where ``staleness.stale`` says that something differs.

Dagster concept: sensor.

``landing`` compares the landing tables with the landing folders, ``consent`` the derived tables with what they should
hold now. When to request a run, and when to request it again after a failure, belongs here. A rule about data does not;
which runs there were is read in ``run_history``. The sensor of erasure requests is in ``defs.erasure``.
"""

from stedi_assets.defs.sensors.consent import consent_sensor
from stedi_assets.defs.sensors.landing import landing_sensor

__all__ = ["consent_sensor", "landing_sensor"]
