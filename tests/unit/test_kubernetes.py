"""The manifests of `k8s/`: valid, complete, closed, and with one master for each number of pods."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import chain
from typing import Any

import jsonschema
import kubernetes_validate
import pytest

from tests.keda_schema import SCHEMAS
from tests.kustomize import Object, load
from tests.manifests import K8S, VARIANTS, objects, of_kind, pods, secrets, workloads
from vibe_tasks.fleet import parse_fleet

OLDEST, NEWEST = "1.33", "1.37"
"""Versions of Kubernetes whose schemas the manifests must meet."""

PART = {"app.kubernetes.io/part-of": "vibe-tasks"}


def name_of(found: Object) -> str:
    """Its name."""
    return str(found["metadata"]["name"])


def labels(found: Object) -> Mapping[str, str]:
    """The labels of its pods."""
    meta: Mapping[str, str] = found["spec"]["template"]["metadata"]["labels"]
    return meta


def meets(selector: Mapping[str, Any], given: Mapping[str, str]) -> bool:
    """Whether a label selector takes these labels."""
    wanted = selector.get("matchLabels", {}).items()
    for rule in selector.get("matchExpressions", []):
        assert rule["operator"] == "NotIn"
        if given.get(rule["key"]) in rule["values"]:
            return False
    return all(given.get(name) == value for name, value in wanted)


def test_every_object_meets_its_schema():
    """Strictly: a field that Kubernetes or KEDA does not know is refused."""
    every = {json.dumps(found) for variant in VARIANTS for found in objects(variant)}
    for found in map(json.loads, every):
        if found["apiVersion"].startswith("keda.sh/"):
            jsonschema.validate(found, SCHEMAS[found["kind"]])
        else:
            kubernetes_validate.validate(found, OLDEST, strict=True)
    for found in {each["kind"]: each for each in objects("overlays/small")}.values():
        kubernetes_validate.validate(found, NEWEST, strict=True)


def test_the_example_of_secrets_is_valid_and_holds_none():
    """Every value says that it is to be changed, or is no secret."""
    for found in load(K8S / "secret.example.yaml"):
        kubernetes_validate.validate(found, NEWEST, strict=True)
        for key, value in found["stringData"].items():
            plain = {"host", "port", "dbName", "userName", "sslmode"}
            assert "CHANGE-ME" in value or key in plain, key


@pytest.mark.parametrize("variant", VARIANTS)
def test_what_an_object_names_is_there(variant: str):
    """Accounts, settings, Secrets with their keys, volumes: nothing is missing at the start."""
    accounts = {name_of(each) for each in of_kind(variant, "ServiceAccount")}
    settings = {name_of(each) for each in of_kind(variant, "ConfigMap")}
    for found in pods(variant):
        spec = found["spec"]["template"]["spec"]
        assert spec.get("serviceAccountName", "default") in accounts | {"default"}
        volumes = {each["name"] for each in spec.get("volumes", [])}
        volumes |= {name_of(each) for each in found["spec"].get("volumeClaimTemplates", [])}
        for volume in spec.get("volumes", []):
            assert volume.get("secret", {}).get("secretName", "vibe-git") in secrets()
        for container in spec["containers"]:
            assert {each["name"] for each in container["volumeMounts"]} <= volumes
            for source in container.get("envFrom", []):
                assert source.get("configMapRef", {}).get("name", "vibe-settings") in settings
                assert source.get("secretRef", {}).get("name", "vibe-agents") in secrets()
            for each in container.get("env", []):
                if "valueFrom" in each:
                    key = each["valueFrom"]["secretKeyRef"]
                    assert key["key"] in secrets()[key["name"]]
    for found in of_kind(variant, "TriggerAuthentication"):
        for each in found["spec"]["secretTargetRef"]:
            assert each["key"] in secrets()[each["name"]]


@pytest.mark.parametrize("variant", VARIANTS)
def test_selectors_meet_pods_and_nobody_elses(variant: str):
    """A Deployment owns its own pods alone; Services, budgets and policies have somebody."""
    every = pods(variant)
    for found in every:
        if found["kind"] != "Job":
            assert [
                name_of(each) for each in every if meets(found["spec"]["selector"], labels(each))
            ] == [name_of(found)]
    for found in of_kind(variant, "Service"):
        (target,) = (
            each
            for each in every
            if meets({"matchLabels": found["spec"]["selector"]}, labels(each))
        )
        (container,) = target["spec"]["template"]["spec"]["containers"]
        ports = {each["name"] for each in container["ports"]}
        assert {each["targetPort"] for each in found["spec"]["ports"]} <= ports
    for found in of_kind(variant, "PodDisruptionBudget"):
        (target,) = (each for each in every if meets(found["spec"]["selector"], labels(each)))
        least = found["spec"].get("minAvailable", 0)
        assert least < target["spec"].get("replicas", 1), "nobody could ever be moved"


@pytest.mark.parametrize("variant", VARIANTS)
def test_no_pod_may_more_than_it_needs(variant: str):
    """No root, no rights, nothing to write to but volumes, no token, no foreign variables."""
    scaler = {"vibe-worker-control"} if of_kind(variant, "RoleBinding") else set()
    for found in pods(variant):
        spec = found["spec"]["template"]["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] > 0
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["enableServiceLinks"] is False  # they would be unknown settings VIBE_…
        assert spec["automountServiceAccountToken"] is (name_of(found) in scaler)
        for container in spec["containers"]:
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False
            assert context["readOnlyRootFilesystem"] is True
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert set(container["resources"]) == {"requests", "limits"}
            assert "memory" in container["resources"]["limits"]
            if found["kind"] != "Job":
                assert "livenessProbe" in container


@pytest.mark.parametrize("variant", VARIANTS)
def test_nobody_reaches_a_pod_unless_a_policy_says_so(variant: str):
    """Everything is denied to every pod, and what takes requests has a policy that allows them."""
    policies = [each["spec"] for each in of_kind(variant, "NetworkPolicy")]
    deny = [each for each in policies if not each.keys() & {"ingress", "egress"}]
    for found in pods(variant):
        assert any(meets(each["podSelector"], labels(found)) for each in deny)
        ports = {
            each["containerPort"]
            for container in found["spec"]["template"]["spec"]["containers"]
            for each in container.get("ports", [])
        }
        let_in = {
            port["port"]
            for each in policies
            if meets(each["podSelector"], labels(found))
            for rule in each.get("ingress", [])
            for port in rule["ports"]
        }
        assert let_in == ports
        for each in policies:
            for rule in each.get("ingress", []):
                assert rule["from"], "from everywhere"


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_number_of_pods_has_one_master(variant: str):
    """KEDA, the autoscaler by CPU, our own scaler or a fixed number: never two on a Deployment."""
    targets = [
        each["spec"]["scaleTargetRef"]["name"]
        for each in of_kind(variant, "ScaledObject", "HorizontalPodAutoscaler")
    ]
    roles = of_kind(variant, "Role")
    targets += chain.from_iterable(
        rule["resourceNames"] for each in roles for rule in each["rules"]
    )
    assert len(targets) == len(set(targets))
    deployments = {name_of(each): each for each in of_kind(variant, "Deployment")}
    for target in targets:
        # A number here would be set again by every `kubectl apply`.
        assert "replicas" not in deployments[target]["spec"]


def test_the_fleet_scaler_may_set_numbers_of_pods_and_nothing_else():
    """The one account with rights has two verbs on one thing."""
    (role,) = of_kind("base+fleet-scaler", "Role")
    (rule,) = role["rules"]
    assert (rule["resources"], rule["verbs"]) == (["deployments/scale"], ["get", "patch"])
    (binding,) = of_kind("base+fleet-scaler", "RoleBinding")
    assert binding["roleRef"]["name"] == name_of(role)
    users = [
        name_of(each)
        for each in of_kind("base+fleet-scaler", "Deployment")
        if each["spec"]["template"]["spec"]["serviceAccountName"] == binding["subjects"][0]["name"]
    ]
    assert users == ["vibe-worker-control"]
    for variant in VARIANTS:
        assert variant == "base+fleet-scaler" or not of_kind(variant, "Role", "ClusterRole")


def test_the_fleet_scaler_is_told_of_what_it_may_scale():
    """Lanes, Deployments and slots of its setting are those of the role and of the workers."""
    (role,) = of_kind("base+fleet-scaler", "Role")
    (control,) = (
        each
        for each in workloads()
        if (each.where, each.name) == ("base+fleet-scaler", "vibe-worker-control")
    )
    fleet = parse_fleet(str(control.environ["VIBE_FLEET"]).split(","))
    assert [each.target for each in fleet] == role["rules"][0]["resourceNames"]
    most = int(str(control.environ["VIBE_MAX_AUTO_SCALE_WORKERS"]))
    assert sum(each.most for each in fleet) <= most
    for each in fleet:
        assert (each.provisioner, each.target) == ("kubernetes", f"vibe-worker-{each.lane}")
        (target,) = (
            found
            for found in workloads()
            if (found.where, found.name) == ("base+fleet-scaler", each.target)
        )
        assert f"--concurrency={each.slots}" in target.command


def test_keys_of_agents_reach_workers_of_code_alone():
    """Neither QA nor merges, Flower or beat see them; agents get those that the setting names."""
    keys = secrets()["vibe-agents"]
    for each in workloads():
        if not each.where.startswith("docker") and each.ours:
            has = keys & each.environ.keys()
            assert has == (keys if each.name == "vibe-worker-code" else set())
            handed = (each.environ.get("VIBE_AGENT_ENV") or "").split(",")
            assert set(handed) - {""} == has


@pytest.mark.parametrize("variant", ["overlays/large", "base+keda"])
def test_keda_divides_by_the_slots_of_a_pod(variant: str):
    """A pod counts for as many jobs as its worker has processes; the way down is slower than up."""
    for found in of_kind(variant, "ScaledObject"):
        name = found["spec"]["scaleTargetRef"]["name"]
        (target,) = (each for each in workloads() if (each.where, each.name) == (variant, name))
        (trigger,) = found["spec"]["triggers"]
        assert f"--concurrency={trigger['metadata']['targetQueryValue']}" in target.command
        assert trigger["metadata"]["query"].endswith(f"lane = '{name.rpartition('-')[2]}'")
        (auth,) = of_kind(variant, "TriggerAuthentication")
        assert trigger["authenticationRef"]["name"] == name_of(auth)
        behavior = found["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
        windows = {way: rules["stabilizationWindowSeconds"] for way, rules in behavior.items()}
        assert windows["scaleDown"] >= 10 * windows["scaleUp"]


def test_the_sandbox_opens_only_what_it_needs():
    """User name spaces and /proc, for the two roles that run programs; nothing is given back."""
    opened = {
        name_of(each): each["spec"]["template"]["spec"]
        for each in of_kind("base+sandbox", "Deployment")
    }
    for name, spec in opened.items():
        (container,) = spec["containers"]
        with_it = name in {"vibe-worker-code", "vibe-worker-qa"}
        assert ("hostUsers" in spec, "procMount" in container["securityContext"]) == (
            with_it, with_it
        )  # fmt: skip
