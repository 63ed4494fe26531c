"""What is deployed, as tests read it: compose services and the pods of `k8s/`, in one form."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from tests.kustomize import Object, load, render

ROOT = Path(__file__).parents[1]
K8S = ROOT / "k8s"
OURS = "vibe-tasks"
"""Name of our image, before the tag."""

COMPONENTS = sorted(each.name for each in (K8S / "components").iterdir())
OVERLAYS = sorted(each.name for each in (K8S / "overlays").iterdir())
VARIANTS = [*(f"overlays/{name}" for name in OVERLAYS), *(f"base+{name}" for name in COMPONENTS)]
"""What is looked at: each overlay, and the base with each component."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """Something that runs containers of one kind.

    Attributes:
        where: File or variant, for messages.
        name: Its own name.
        image: With its tag.
        command: The command line behind the image's entry point.
        environ: Variables; None where the value is a secret.
        probes: Command lines that ask it something, or stop it, by what they are.
        mounts: Paths of volumes and secrets.
        grace: Seconds between SIGTERM and SIGKILL.
        spec: The pod's or the service's whole specification.
    """

    where: str
    name: str
    image: str
    command: tuple[str, ...]
    environ: Mapping[str, str | None]
    probes: Mapping[str, tuple[str, ...]]
    mounts: frozenset[str]
    grace: float
    spec: Mapping[str, Any] = field(repr=False)

    @property
    def ours(self) -> bool:
        """Whether it runs our image."""
        return self.image.rpartition(":")[0] == OURS

    @property
    def is_worker(self) -> bool:
        """Whether it is a Celery worker."""
        return self.ours and "worker" in self.command


@cache
def objects(variant: str) -> tuple[Object, ...]:
    """All objects of a variant."""
    if not variant.startswith("base+"):
        return tuple(render(K8S / variant))
    with TemporaryDirectory() as folder:
        top = Path(folder, "kustomization.yaml")
        component = K8S / "components" / variant.removeprefix("base+")
        # Path joins an absolute path as it is.
        plan = {"resources": [str(K8S / "base")], "components": [str(component)]}
        top.write_text(yaml.safe_dump(plan), encoding="utf-8")
        return tuple(render(top.parent))


def of_kind(variant: str, *kinds: str) -> list[Object]:
    """Its objects of these kinds."""
    return [each for each in objects(variant) if each["kind"] in kinds]


def pods(variant: str) -> list[Object]:
    """Its objects that have pods."""
    return of_kind(variant, "Deployment", "StatefulSet", "Job")


@cache
def secrets() -> Mapping[str, frozenset[str]]:
    """Names of the Secrets that somebody has to make, each with its keys."""
    return {
        each["metadata"]["name"]: frozenset(each["stringData"])
        for each in load(K8S / "secret.example.yaml")
    }


def _pod_workload(variant: str, found: Object) -> Workload:
    spec = found["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    settings = {each["metadata"]["name"]: each["data"] for each in of_kind(variant, "ConfigMap")}
    environ: dict[str, str | None] = {}
    for source in container.get("envFrom", []):
        if "configMapRef" in source:
            environ |= settings[source["configMapRef"]["name"]]
        else:
            environ |= dict.fromkeys(secrets()[source["secretRef"]["name"]])
    environ |= {each["name"]: each.get("value") for each in container.get("env", [])}
    asked = {
        name: tuple(container[name]["exec"]["command"])
        for name in ("startupProbe", "readinessProbe", "livenessProbe")
        if "exec" in container.get(name, {})
    }
    if stop := container.get("lifecycle", {}).get("preStop"):
        asked["preStop"] = tuple(stop["exec"]["command"])
    return Workload(
        where=variant, name=found["metadata"]["name"], image=container["image"],
        command=tuple(container.get("args", ())), environ=environ,
        probes=asked, mounts=frozenset(each["mountPath"] for each in container["volumeMounts"]),
        grace=float(spec.get("terminationGracePeriodSeconds", 30)), spec=spec,
    )  # fmt: skip


@cache
def compose() -> Mapping[str, Any]:
    """The compose file, its anchors followed."""
    found: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
    return {name: value for name, value in found.items() if not name.startswith("x-")}


def _seconds(text: str) -> float:
    found = re.fullmatch(r"(\d+)s", text)
    assert found, text
    return float(found[1])


def _service(name: str, spec: Mapping[str, Any]) -> Workload:
    test = [each.replace("$$", "$") for each in spec.get("healthcheck", {}).get("test", [])]
    asked = {"healthcheck": ("sh", "-c", test[1]) if test[0] == "CMD-SHELL" else tuple(test[1:])
             } if test else {}  # fmt: skip
    volumes = [each.rpartition(":")[2] for each in spec.get("volumes", [])]
    tmpfs = [each.partition(":")[0] for each in spec.get("tmpfs", [])]
    kept = [f"/run/secrets/{each}" for each in spec.get("secrets", [])]
    return Workload(
        where="docker-compose.yml", name=name, image=spec["image"],
        command=tuple(str(each).replace("$$", "$") for each in spec.get("command", [])),
        environ=spec.get("environment", {}), probes=asked,
        mounts=frozenset([*volumes, *tmpfs, *kept]),
        grace=_seconds(spec.get("stop_grace_period", "10s")), spec=spec,
    )  # fmt: skip


@cache
def workloads() -> tuple[Workload, ...]:
    """Every service of the compose file and every workload of every variant."""
    services = [_service(name, spec) for name, spec in compose()["services"].items()]
    return (
        *services,
        *(_pod_workload(variant, found) for variant in VARIANTS for found in pods(variant)),
    )


def workload(where: str, name: str) -> Workload:
    """One of them."""
    (found,) = (each for each in workloads() if (each.where, each.name) == (where, name))
    return found
