"""The sensors: thin shells that ask for runs where ``reconcile`` says that something differs.

``landing`` compares the landing tables with the landing folders, ``consent`` the derived tables with what they
should hold now; ``past`` reads from Dagster which runs there were and are. No rule about data lives here.
"""

from stedi_assets.defs.sensors.consent import consent_sensor
from stedi_assets.defs.sensors.landing import landing_sensor

__all__ = ["consent_sensor", "landing_sensor"]
