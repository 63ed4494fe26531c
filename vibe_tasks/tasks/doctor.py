"""What is wrong with a deployment, as seen from this process, and how to mend it.

Each check is a function of `checkup`; from which figure on something is wrong `diagnosis` says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

from vibe_tasks import diagnosis
from vibe_tasks.errors import InputError, SettingsError
from vibe_tasks.finding import Finding, fine, wrong
from vibe_tasks.store import checkup
from vibe_tasks.store.engine import DATABASE_ERRORS, Database
from vibe_tasks.store.retries import reason
from vibe_tasks.tasks import resources
from vibe_tasks.tasks.broker_probe import Broker
from vibe_tasks.tasks.broker_socket import stack_answers
from vibe_tasks.tasks.checkup import machine, servers, work
from vibe_tasks.workspace.git import OLDEST

Look = Callable[[], AbstractContextManager[Database]]
"""Opens the ledger."""


def examine(look: Look, *, missing: Callable[[], str | None] = lambda: None) -> Iterator[Finding]:
    """Check one thing after the other; what rests on something broken is left out.

    Args:
        look: Opens the ledger.
        missing: Where we looked for a ledger, where there is none yet.
    """
    try:
        settings = resources.settings()
    except InputError as error:
        yield wrong("settings", str(error), "correct it or take it away")
        return
    yield fine("settings", "all known and in their bounds")
    yield diagnosis.lease(settings.lease_seconds)
    yield attempted("git", machine.git, mend=f"install git {'.'.join(map(str, OLDEST))} or newer")
    yield machine.sandbox()
    place = attempted(
        "home", machine.home, mend="set VIBE_HOME to a folder of yours on a local disk"
    )
    yield place
    yield machine.imports(settings.imports)
    yield from machine.agent(settings.agent)
    yield from servers.intake(settings.web_url)
    found, reached = None, True
    try:
        found = servers.reach_broker()
    except InputError as error:
        reached = False
        yield wrong("broker", str(error), "start it, or correct VIBE_BROKER_URL")
    else:
        checked = [*servers.broker(found)]
        yield from checked
        reached = all(each.ok for each in checked if each.check == "broker")
    if not place.ok:
        return
    yield machine.disk("the home's disk", resources.home())
    if absence := missing():
        yield fine("ledger", f"none in {absence} yet; `vibe run` and `vibe up` make it")
        yield diagnosis.clocks(servers.clocks(None, found))
    else:
        yield from _of_ledger(look, found, reached=reached)


def _of_ledger(look: Look, broker: Broker | None, *, reached: bool) -> Iterator[Finding]:
    """What the ledger tells.

    Args:
        look: Opens it.
        broker: What the broker says of itself.
        reached: Whether the broker is as it must be.
    """
    try:
        with look() as opened:
            yield from servers.ledger(opened)
            ahead = servers.clocks(opened, broker)
            with checkup.asking(opened) as connection:
                seen = work.look(connection)
    except SettingsError as error:  # the ledger is there, and this process lacks what opens it
        yield wrong("keys", str(error), servers.KEYS)
        return
    except InputError as error:
        yield wrong("ledger", str(error), "see `vibe db --help`; VIBE_DATABASE_URL names it")
        return
    except DATABASE_ERRORS as error:
        text = f"it does not answer: {reason(error)}"
        yield wrong("ledger", text, "see its server: load, locks, and who holds them")
        return
    # A heartbeat is written with the ledger's clock: one from the future says that it was set back.
    for each in seen.workers:
        if each["age"] < 0:
            ahead[f"the last heartbeat of {each['worker_id']}"] = -float(each["age"])
    yield diagnosis.clocks(ahead)
    if reached:
        expected = bool(resources.settings().broker_url) or stack_answers()
        yield from work.findings(seen, expected=expected)


def attempted(check: str, look: Callable[[], Finding], *, mend: str) -> Finding:
    """What the look found; its refusal is a finding too."""
    try:
        return look()
    except InputError as error:
        return wrong(check, str(error), mend)
