"""The labels of this process' worker: what its settings say, its host's, and
those of the repositories that its host has copies of.
"""

from __future__ import annotations

import socket

from vibe_tasks.flow.workplace import mirrors
from vibe_tasks.labels import host_label, is_label
from vibe_tasks.tasks import resources
from vibe_tasks.workspace.remote import mirror_labels


def worker_labels() -> frozenset[str]:
    """What this worker has that a job may ask for, at this moment."""
    copies = mirror_labels(mirrors(resources.home()))
    own = {*resources.settings().worker_labels, host_label(socket.gethostname()), *copies}
    return frozenset(filter(is_label, own))
