"""This process works elsewhere for a while: other settings, another ledger, another broker.

A process reads its settings once, and the application is made of them when it is imported. A test
that wants a ledger of its own needs both again, while the modules that have jobs stay as they are:
their tasks belong to the one application.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from celery import Celery
from kombu import pools

from vibe_tasks.setting_sources import PREFIX
from vibe_tasks.store.engine import Database
from vibe_tasks.tasks import publisher, resources, sealed_messages
from vibe_tasks.tasks.app import app, result_backend

NOBODY = "memory://"
"""The broker's URL where there is none: nobody is told of anything."""

CONF = ("broker_url", "result_backend", "accept_content")
"""Celery's settings that follow from ours, and matter to whoever calls jobs."""

OURS = "vibe_tasks.tasks.work"
"""The module with the tasks of our own that jobs need, such as what follows a chord."""


@contextmanager
def elsewhere(settings: Mapping[str, str]) -> Iterator[Database]:
    """Work with these settings until the end of the `with`; the ledger that they name.

    Variables `VIBE_…` of the surroundings do not count meanwhile, here and in children.

    Args:
        settings: Texts by the settings' names, as variables have them.

    Raises:
        SettingsError: One is unknown or wrong.
    """
    before = {name: value for name, value in os.environ.items() if name.startswith(PREFIX)}
    conf = {name: app.conf[name] for name in CONF}
    try:
        _read({f"{PREFIX}{name.upper()}": value for name, value in settings.items()})
        url = resources.broker_url()
        changed = (url, result_backend(_results_in(url)), sealed_messages.install())
        _point(app, dict(zip(CONF, changed, strict=True)))
        importlib.import_module(OURS)
        yield resources.ledger()
    finally:
        if resources.database.cache_info().currsize:
            resources.database().close()
        _read(before)
        _point(app, conf)


def _results_in(broker: str) -> str:
    """Where results are that are no jobs'; those of jobs are in the ledger wherever that is."""
    return f"redis+socket://{resources.broker_socket()}" if broker == NOBODY else broker


def _read(environ: Mapping[str, str]) -> None:
    """Let these be the variables of ours, and forget what was made of the others."""
    for name in [each for each in os.environ if each.startswith(PREFIX)]:
        del os.environ[name]
    os.environ.update(environ)
    for each in vars(resources).values():
        if hasattr(each, "cache_clear"):
            each.cache_clear()
    publisher.ask_again()


def _point(celery: Celery, conf: Mapping[str, Any]) -> None:
    """Let the application use this broker; what it holds of the last one is closed."""
    held = celery._pool  # noqa: SLF001  Celery has no way to change brokers
    if held is not None:
        held.force_close_all()
        for group in (pools.producers, pools.connections):
            for key, each in list(group.items()):
                if held in {each, getattr(each, "connections", None)}:
                    dict.pop(group, key)
    celery._pool = celery.amqp._producer_pool = None  # noqa: SLF001
    backend = celery._backend  # noqa: SLF001
    if backend is not None and "client" in vars(backend):
        backend.client.connection_pool.disconnect()
    celery._backend_cache = None  # noqa: SLF001
    vars(celery._local).pop("backend", None)  # noqa: SLF001
    celery.conf.update(conf)
