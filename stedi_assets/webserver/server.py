"""Dagster's webserver behind the guard: ``python -m stedi_assets.webserver`` in place of ``dagster-webserver``.

It takes the options of ``dagster-webserver`` and reads the same files. Where else the UI is served than at this
machine's own names stands in ``STEDI_UI_ORIGIN``.
"""

from __future__ import annotations

from typing import Any

import dagster_webserver.cli as webserver
from starlette.applications import Starlette

from stedi_assets.settings import Settings
from stedi_assets.webserver.guard import Guard


def guarded(app: Starlette, public: str | None) -> Starlette:
    """Put the guard before everything else of Dagster's web application.

    Args:
        app: the web application, which has not answered anything yet.
        public: the origin at which a proxy serves it, if there is one.
    """
    app.add_middleware(Guard, origins=[public] if public else [])
    return app


def main() -> None:
    """The entry point.

    Raises:
        SettingsError: a setting has a value that it does not take.
    """
    public = Settings.from_environment().ui_origin
    # Whether it is there is asked here: where Dagster has no such name any more, nothing is served.
    unguarded = webserver.create_app_from_workspace_process_context  # type: ignore[attr-defined]

    def application(*arguments: Any, **options: Any) -> Starlette:
        return guarded(unguarded(*arguments, **options), public)

    # Dagster's command has no option for middleware. It makes the application by this name.
    webserver.create_app_from_workspace_process_context = application  # type: ignore[attr-defined]
    webserver.main()  # type: ignore[no-untyped-call]
