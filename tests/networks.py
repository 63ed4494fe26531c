"""Hosts of their own on this machine: network namespaces that reach one address and no files of
each other; where that is not possible, nothing but folders of their own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.quiet_network import changed_network

_HIDE = 'while [ "$1" != -- ]; do mount -t tmpfs none "$1"; shift; done; shift; exec "$@"'


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """An address that all hosts reach, and the hosts.

    Attributes:
        address: Where servers listen.
        spaces: The hosts' network namespaces; empty where there are none.
    """

    address: str
    spaces: tuple[str, ...] = ()

    def command(self, host: int, *argv: str, hidden: Sequence[Path] = ()) -> tuple[str, ...]:
        """A command line that runs on a host, for which these folders are empty."""
        if not self.spaces:
            return argv
        apart = ("ip", "netns", "exec", self.spaces[host], "unshare", "--mount")
        return (*apart, "sh", "-c", _HIDE, "sh", *map(str, hidden), "--", *argv)


@contextmanager
def network(hosts: int) -> Iterator[Network]:
    """A network of so many hosts, gone at the end."""
    with ExitStack() as stack:
        made = stack.enter_context(_taken_away())
        try:
            with changed_network():
                found = _namespaces(hosts, made)
        except (OSError, subprocess.CalledProcessError):
            found = Network(address="127.0.0.1")
        yield found


@contextmanager
def _taken_away() -> Iterator[ExitStack]:
    """What is registered here is done at the end, while no browser loads anything."""
    made = ExitStack()
    try:
        yield made
    finally:
        with changed_network():
            made.close()


def _namespaces(hosts: int, made: ExitStack) -> Network:
    if os.geteuid() != 0 or shutil.which("ip") is None:
        raise PermissionError("only root makes network namespaces")
    number = os.getpid() % 250 + 1
    bridge, net = f"vt{os.getpid()}", f"198.18.{number}"  # RFC 2544: a range for tests
    _ip("link", "add", bridge, "type", "bridge")
    made.callback(_ip, "link", "del", bridge)
    # Without addresses of its own making, which come seconds later.
    _ip("link", "set", bridge, "addrgenmode", "none")
    _ip("addr", "add", f"{net}.1/24", "dev", bridge)
    _ip("link", "set", bridge, "up")
    spaces = []
    for host in range(hosts):
        space, inside, outside = f"{bridge}h{host}", f"{bridge}i{host}", f"{bridge}o{host}"
        _ip("netns", "add", space)
        made.callback(_ip, "netns", "del", space)
        _ip("link", "add", outside, "type", "veth", "peer", "name", inside, "netns", space)
        _ip("link", "set", outside, "addrgenmode", "none")
        _ip("link", "set", outside, "master", bridge, "up")
        _ip("-n", space, "addr", "add", f"{net}.{host + 2}/24", "dev", inside)
        _ip("-n", space, "link", "set", inside, "up")
        _ip("-n", space, "link", "set", "lo", "up")
        spaces.append(space)
    found = Network(address=f"{net}.1", spaces=tuple(spaces))
    subprocess.run(found.command(0, "true", hidden=[Path("/mnt")]), check=True, capture_output=True)
    return found


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)
