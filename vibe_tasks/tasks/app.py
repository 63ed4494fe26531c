"""The Celery application and its settings.

The settings follow from the ledger being the truth (docs/decisions/0001): messages are
wake-ups, so they are never acknowledged late, never delayed in the broker, never prefetched;
results come from the ledger.
"""

from __future__ import annotations

import sys
from pathlib import Path

from celery import Celery

from vibe_tasks.errors import SettingsError
from vibe_tasks.jobs import LANES
from vibe_tasks.tasks import queues, resources, sealed_messages
from vibe_tasks.tasks.main_process import steps
from vibe_tasks.tasks.observation import traces
from vibe_tasks.tasks.routing import task_routes
from vibe_tasks.tasks.schedule import schedule_of, shared_beat


def result_backend(broker: str) -> str:
    """Our backend; what is no job of ours keeps its result in the broker's Redis."""
    url = broker.removeprefix("redis+") if broker.startswith("redis+socket:") else broker
    if url.startswith("memory:"):
        return "cache+memory://"
    return f"vibe_tasks.tasks.results:LedgerBackend+{url}"


def make_app() -> Celery:
    """A Celery application with the settings of this process.

    Raises:
        SettingsError: A setting is unknown or wrong.
    """
    chosen = resources.settings()
    traces.check()
    broker = resources.broker_url()
    made = Celery(
        "vibe_tasks", set_as_current=True, control="vibe_tasks.tasks.remote:LedgerControl"
    )
    made.conf.update(
        broker_url=broker,
        result_backend=result_backend(broker),
        # Nobody may wait long for what is only Celery's: above all not the dispatcher, which tells
        # Celery's chords of jobs that died and takes back leases in between.
        redis_socket_timeout=chosen.publish_timeout,
        redis_socket_connect_timeout=chosen.publish_timeout,
        result_backend_transport_options={"retry_policy": {"max_retries": 1}},
        accept_content=sealed_messages.install(),
        task_serializer="json",
        result_serializer="json",
        timezone="UTC",
        task_queues=[queues.lane_queue(lane) for lane in LANES],
        task_default_queue="code",
        task_default_exchange="",
        task_default_routing_key="code",
        task_routes=(task_routes.route_task,),
        task_inherit_parent_priority=False,
        broker_transport_options={
            **queues.TRANSPORT_OPTIONS,
            "socket_connect_timeout": chosen.publish_timeout,
            "socket_timeout": chosen.publish_timeout,  # one that is there and says nothing
        },
        broker_connection_retry_on_startup=True,
        broker_connection_timeout=chosen.publish_timeout,
        broker_connection_max_retries=None,  # for ever: the broker may be away for hours
        task_publish_retry=False,
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=True,
        worker_soft_shutdown_timeout=5.0,
        worker_autoscaler="vibe_tasks.tasks.pool.autoscaler:Autoscaler",
        worker_redirect_stdouts=False,
        worker_send_task_events=False,
        task_store_errors_even_if_ignored=False,
        imports=[
            "vibe_tasks.tasks.work",
            "vibe_tasks.tasks.upkeep",
            "vibe_tasks.tasks.fleet.check",
            "vibe_tasks.tasks.escalate",
            *chosen.imports,
        ],
        beat_schedule=schedule_of(scale_seconds=chosen.scale_seconds),
        beat_schedule_filename=str(resources.home() / "beat-schedule"),
        **shared_beat(
            broker,
            resources.database_url(),
            lock=chosen.beat_lock_seconds,
            timeout=chosen.publish_timeout,
        ),
    )
    steps.install(made)
    return made


def made_for_this_program() -> Celery:
    """The application; wrong settings end Celery's programs, and our workers, with one line.

    Celery would print a traceback around it. Others, which import us, get the error itself.

    Raises:
        SettingsError: A setting is unknown or wrong.
    """
    try:
        return make_app()
    except SettingsError as error:
        main = getattr(sys.modules["__main__"], "__spec__", None)
        program = main.name if main else Path(sys.argv[0]).name  # of `python -m`, or a script
        if program != "celery" and not program.startswith(("celery.", "vibe_tasks.tasks.")):
            raise
        sys.stderr.write(f"vibe: {error}\n")
        raise SystemExit(2) from error


app = made_for_this_program()
"""The application; workers, beat and Flower find it as `vibe_tasks.app`."""
