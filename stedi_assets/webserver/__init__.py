"""Dagster's UI, served so that no foreign web page can use it: the guard before it, and starting it with the daemon.

Dagster's own webserver answers whatever reaches its port, and a page that is open in the developer's browser reaches
it. What decides about a request belongs here; what the UI shows belongs to ``defs``. ``guard`` knows nothing of
Dagster. Not part of the lakehouse: it reads no table.
"""
