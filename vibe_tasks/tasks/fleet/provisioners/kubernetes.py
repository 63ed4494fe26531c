"""Workers as pods of a Deployment, whose number of replicas is read and set.

Only the scale subresource is touched, so that a role with `get` and `patch` on it will do. Which
pod goes is Kubernetes' choice: its workers finish what they have in hand within the pod's grace
period, which should be longer than a job. Needs the extra `kubernetes`.
"""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

from vibe_tasks.failures import bounded
from vibe_tasks.fleet import FleetLane
from vibe_tasks.tasks.fleet.provisioners.provisioner import Found, Order, ProvisionerError

NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
"""Where a pod finds the name of its namespace."""

TRIES = 3
"""Times that a conflict is tried at once: somebody else has just written."""

_HINTS = {
    401: "the credentials are not taken",
    403: "may not get or patch deployments/scale: see k8s/components/fleet-scaler",
    404: "there is no such Deployment",
}


class Kubernetes:
    """The Deployments of one namespace.

    Args:
        namespace: Its name; empty: that of this pod, else of the kubeconfig's context.
        timeout: Seconds for one answer.
    """

    def __init__(self, *, namespace: str, timeout: float) -> None:
        self._namespace = namespace
        self._timeout = timeout

    def look(self, lane: FleetLane, *, last: int | None) -> Found:  # noqa: ARG002
        """The replicas that are wanted."""
        return Found(size=self._read(lane)[0])

    def tend(self, lane: FleetLane) -> None:
        """Nothing: Kubernetes does."""

    def scale(self, lane: FleetLane, order: Order) -> int:
        """Set the number of replicas, if nobody else has set it since we looked."""
        for _ in range(TRIES):
            size, version = self._read(lane)
            if size == order.target:
                return size
            if size != order.before:
                raise ProvisionerError(
                    f"Deployment {lane.target}: somebody else has set {size} replicas meanwhile"
                )
            # With the version, a write that comes between is refused instead of overwritten.
            body = {"metadata": {"resourceVersion": version}, "spec": {"replicas": order.target}}
            try:
                return self._call("patch_namespaced_deployment_scale", lane, body)[0]
            except _ConflictError:
                continue
        raise ProvisionerError(f"Deployment {lane.target}: others keep writing it")

    def _read(self, lane: FleetLane) -> tuple[int, str | None]:
        return self._call("read_namespaced_deployment_scale", lane)

    def _call(self, name: str, lane: FleetLane, *body: Any) -> tuple[int, str | None]:
        """Call the API: the replicas that are wanted now, and the version of the object."""
        client, broken, api, default = _api()
        # Not by the client's own classes: whatever a newer server adds would be in the way.
        try:
            answer = getattr(api, name)(
                lane.target, self._namespace or default, *body, _preload_content=False,
                _request_timeout=(self._timeout, self._timeout),
                **({"_content_type": "application/merge-patch+json"} if body else {}),
            )  # fmt: skip
            scale = json.loads(answer.data)
            return int(scale["spec"].get("replicas", 0)), scale["metadata"].get("resourceVersion")
        except client.ApiException as error:
            raise _refused(lane, error) from error
        except (broken, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ProvisionerError(
                f"Deployment {lane.target}: no sound answer: {type(error).__name__}: {error}"
            ) from error


class _ConflictError(ProvisionerError):
    """Somebody else has written it since it was read."""


def _refused(lane: FleetLane, error: Any) -> ProvisionerError:
    status = int(error.status or 0)
    hint = _HINTS.get(status)
    said = f"Kubernetes answered {status} {error.reason or ''}".rstrip()
    text = bounded(f"Deployment {lane.target}: {said}" + (f": {hint}" if hint else ""))
    if status == 409:
        return _ConflictError(text)
    after = (error.headers or {}).get("Retry-After", "")
    return ProvisionerError(text, retry_after=float(after) if after.isdecimal() else None)


@cache
def _api() -> tuple[Any, Any, Any, str]:
    """The client's module, what its connections raise, its API for Deployments, and the namespace
    where none is set.

    Raises:
        ProvisionerError: The client is not installed, or nothing says where the cluster is.
    """
    try:
        from kubernetes import client, config  # noqa: PLC0415  an extra
        from urllib3.exceptions import HTTPError  # noqa: PLC0415  the client's
    except ImportError as error:
        raise ProvisionerError(
            "the Kubernetes client is missing: pip install 'vibe-tasks[kubernetes]'"
        ) from error
    configuration = client.Configuration()
    namespace = "default"
    try:
        if "KUBERNETES_SERVICE_HOST" in os.environ:
            config.load_incluster_config(client_configuration=configuration)
            if NAMESPACE.exists():
                namespace = NAMESPACE.read_text(encoding="utf-8").strip()
        else:
            file = os.environ.get("KUBECONFIG")
            config.load_kube_config(config_file=file, client_configuration=configuration)
            _, context = config.list_kube_config_contexts(config_file=file)
            namespace = context["context"].get("namespace") or namespace
    except (config.ConfigException, OSError) as error:
        raise ProvisionerError(f"no access to a Kubernetes cluster: {error}") from error
    configuration.retries = False
    return client, HTTPError, client.AppsV1Api(client.ApiClient(configuration)), namespace
