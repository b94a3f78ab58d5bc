"""``python -m stedi_assets.webserver``."""

from stedi_assets.webserver.server import main

main()
