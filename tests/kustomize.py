"""As much of kustomize as `k8s/` uses: what an overlay comes to, without the program.

Resources and components of other folders, patches (strategic merges and JSON patches) with targets,
`images`, `replicas` and `namespace`. What it does not know it refuses, and so it does with a file
that is missing or a patch or number of replicas that meets no object.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

Object = dict[str, Any]

_FIELDS = {
    "apiVersion", "kind", "resources", "components", "patches", "images", "replicas", "namespace",
}  # fmt: skip

_KEYS = {
    "containers": "name", "initContainers": "name", "env": "name", "volumes": "name",
    "volumeMounts": "mountPath", "ports": "containerPort",
}  # fmt: skip
"""Lists whose items a strategic merge joins by this key; others are replaced."""


def render(folder: Path) -> list[Object]:
    """All objects of a folder with a kustomization."""
    return _build(folder, [])


def load(file: Path) -> list[Object]:
    """The objects of a file."""
    text = file.read_text(encoding="utf-8")
    return [each for each in yaml.load_all(text, Loader=yaml.CSafeLoader) if each]


def _build(folder: Path, objects: list[Object]) -> list[Object]:
    """These objects with what this folder adds to them and does with them."""
    (plan,) = load(folder / "kustomization.yaml")
    assert set(plan) <= _FIELDS, f"{folder}: {set(plan) - _FIELDS}"
    objects = list(objects)
    for name in plan.get("resources", []):
        place = folder / name
        objects += render(place) if place.is_dir() else deepcopy(load(place))
    for name in plan.get("components", []):
        (found,) = load(folder / name / "kustomization.yaml")
        assert found["kind"] == "Component", f"{folder}: {name} is no component"
        objects = _build(folder / name, objects)
    names = [(each["kind"], each["metadata"]["name"]) for each in objects]
    assert len(names) == len(set(names)), f"{folder}: two objects of one name in {names}"
    for patch in plan.get("patches", []):
        objects = _patched(folder, patch, objects)
    for image in plan.get("images", []):
        _set_image(image, objects)
    for wanted in plan.get("replicas", []):
        met = [each for each in objects if each["metadata"]["name"] == wanted["name"]
               and each["kind"] in {"Deployment", "StatefulSet"}]  # fmt: skip
        assert met, f"{folder}: no object for replicas of {wanted['name']}"
        met[0]["spec"]["replicas"] = wanted["count"]
    for each in objects:
        if "namespace" in plan:
            each["metadata"]["namespace"] = plan["namespace"]
    return objects


def _patched(folder: Path, patch: Mapping[str, Any], objects: list[Object]) -> list[Object]:
    text = patch["patch"] if "patch" in patch else (folder / patch["path"]).read_text("utf-8")
    change = yaml.safe_load(text)
    meets = _target(patch["target"])
    met = [each for each in objects if meets(each)]
    assert met, f"{folder}: a patch meets no object: {patch['target']}"
    for each in met:
        if isinstance(change, list):
            _apply(each, change)
        else:
            kept = {name: each[name] for name in ("apiVersion", "kind")}
            meta = dict(each["metadata"])
            each.update(_merge(each, change) | kept)
            each["metadata"] = meta | {
                name: value for name, value in change["metadata"].items() if name != "name"
            }
    return objects


def _target(target: Mapping[str, str]) -> Callable[[Object], bool]:
    assert set(target) <= {"kind", "name", "labelSelector"}
    labels = target.get("labelSelector", "")

    def meets(found: Object) -> bool:
        meta = found["metadata"]
        return (
            re.fullmatch(target.get("kind", ".*"), found["kind"]) is not None
            and re.fullmatch(target.get("name", ".*"), meta["name"]) is not None
            and _selected(labels, meta.get("labels", {}))
        )

    return meets


def _selected(selector: str, labels: Mapping[str, str]) -> bool:
    if several := re.fullmatch(r"(\S+) in \(([^)]*)\)", selector):
        return labels.get(several[1]) in several[2].split(",")
    pairs = [pair.split("=") for pair in selector.split(",") if pair]
    return all(labels.get(name) == value for name, value in pairs)


def _merge(old: Any, new: Any, key: str = "") -> Any:
    """A strategic merge: maps are joined, lists with a key item by item, all else is replaced."""
    if isinstance(old, dict) and isinstance(new, dict):
        merged = dict(old)
        for name, value in new.items():
            merged[name] = _merge(old.get(name), value, name) if name in old else deepcopy(value)
        return merged
    if isinstance(old, list) and isinstance(new, list) and key in _KEYS:
        by = {each[_KEYS[key]]: each for each in old}
        for each in new:
            name = each[_KEYS[key]]
            by[name] = _merge(by[name], each) if name in by else deepcopy(each)
        return list(by.values())
    return deepcopy(new)


def _apply(found: Object, operations: list[Mapping[str, Any]]) -> None:
    """A JSON patch, whose paths must be there but for what it adds."""
    for each in operations:
        *way, last = each["path"].strip("/").split("/")
        place: Any = found
        for step in way:
            place = place[int(step)] if isinstance(place, list) else place[step]
        match each["op"]:
            case "remove":
                del place[last]
            case "replace":
                assert last in place, each
                place[last] = each["value"]
            case "add":
                place[last] = each["value"]
            case other:
                raise AssertionError(f"unknown operation {other}")


def _set_image(image: Mapping[str, Any], objects: list[Object]) -> None:
    met = 0
    for each in objects:
        pod = each.get("spec", {}).get("template", {}).get("spec", {})
        for container in pod.get("containers", []):
            name, _, tag = container["image"].rpartition(":")
            if name == image["name"]:
                container["image"] = f"{image.get('newName', name)}:{image.get('newTag', tag)}"
                met += 1
    assert met, f"no container has the image {image['name']}"
