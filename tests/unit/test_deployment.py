"""What is deployed exists: each command, module, lane, setting, port and path that the Dockerfile,
the compose file and the manifests name, and the time that each is given to end.
"""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec

import click
import compose_spec
import pytest
from celery.bin.celery import celery as celery_command
from flower.options import default_options
from flower.urls import handlers

from docs import generate
from tests.documents import blocks, text_of
from tests.manifests import (
    COMPONENTS,
    OVERLAYS,
    ROOT,
    VARIANTS,
    Workload,
    compose,
    of_kind,
    workload,
    workloads,
)
from vibe_tasks.jobs import LANES
from vibe_tasks.setting_sources import FILE
from vibe_tasks.settings import Settings
from vibe_tasks.tasks.app import app
from vibe_tasks.web import health

VIBE = {context.command_path: context for context in generate.commands()}
VARIABLES = {f"VIBE_{name.upper()}" for name in Settings.model_fields}
FOREIGN = {"REMAP_SIGTERM", "GIT_SSH_COMMAND", "ANTHROPIC_API_KEY", "OPENAI_API_KEY"}
"""Variables of Celery, git and agents."""

# Most variants leave most workloads as they are.
OURS = list({repr(replace(each, where="")): each for each in workloads() if each.ours}.values())


def at(each: Workload) -> str:
    """A workload's name in the list of tests."""
    return f"{each.where}:{each.name}"


def command_lines(each: Workload) -> Iterator[list[str]]:
    """All its command lines, those inside a shell's taken out of it."""
    for argv in (each.command, *each.probes.values()):
        if argv[:2] != ("sh", "-c"):
            yield list(argv)
            continue
        for part in re.split(r"\|\||&&|[|;]", argv[2]):
            words = shlex.split(re.sub(r"\$\(.*\)", "x", part))
            while words and re.match(r"\w+=|exec$", words[0]):
                del words[0]
            yield words


def check_celery(words: list[str]) -> None:
    """`celery -A MODULE COMMAND --option…`: the module is there, and the command knows them."""
    assert words[0] == "-A"
    assert find_spec(words[1]), words[1]
    command = celery_command.commands[words[2]]
    known = {name for parameter in command.params for name in parameter.opts}
    for option in words[3:]:
        name, _, value = option.partition("=")
        if words[2] == "flower" and name not in known:
            assert name.removeprefix("--") in default_options, option
        else:
            assert name in known, option
            assert value or name.startswith("--without"), option


@pytest.mark.parametrize("each", OURS, ids=at)
def test_commands_exist(each: Workload):
    """Whatever a container runs, as its program or as a probe, is a command with such options."""
    for program, *words in command_lines(each):
        match program:
            case "celery":
                check_celery(words)
            case "vibe":
                name = "vibe"
                while words and f"{name} {words[0]}" in VIBE:
                    name = f"{name} {words.pop(0)}"
                context = VIBE[name]
                assert not isinstance(context.command, click.Group)
                context.command.make_context(context.info_name, words, parent=context.parent)
            case "python" if words[0] == "-m":
                assert find_spec(f"{words[1]}.__main__")
                assert not words[2:]
            case "python":
                assert words[0] == "-c"
                compile(words[1], "probe", "exec")
            case _:
                assert program == "test"


@pytest.mark.parametrize("each", OURS, ids=at)
def test_variables_are_settings(each: Workload):
    """A variable is a setting of ours, a file with one, or an option of Flower."""
    for name, value in each.environ.items():
        if name.startswith("FLOWER_"):
            assert name.removeprefix("FLOWER_").lower() in default_options
        elif name.endswith(FILE):
            assert name.removesuffix(FILE) in VARIABLES
            assert value in each.mounts, "the file is not mounted"
        else:
            assert name in VARIABLES | FOREIGN, name
    for path in re.findall(
        r"/run/secrets/\w+", " ".join([*each.command, *map(str, each.environ.values())])
    ):
        assert path in each.mounts
    for setting in ("DATABASE_URL", "BROKER_URL"):
        assert {f"VIBE_{setting}", f"VIBE_{setting}{FILE}"} & each.environ.keys()


@pytest.mark.parametrize("each", [each for each in OURS if each.is_worker], ids=at)
def test_a_worker_is_given_time_to_end(each: Workload):
    """The lane is ours; draining and the soft shutdown fit into the time before SIGKILL."""
    role = each.command[each.command.index("-A") + 1]
    assert role.removeprefix("workers.") in LANES
    assert find_spec(role)
    assert each.environ["REMAP_SIGTERM"] == "SIGQUIT"
    drain = re.search(r"--wait (\d+)", " ".join(each.probes.get("preStop", ())))
    needed = app.conf.worker_soft_shutdown_timeout + (float(drain[1]) if drain else 0)
    assert each.grace >= needed + 20


@pytest.mark.parametrize("each", OURS, ids=at)
def test_what_is_asked_of_it_in_vain_ends_no_worker(each: Workload):
    """Whether it lives is asked of its alive file or its own web server: no ledger, no broker."""
    lives = each.probes.get("livenessProbe") or each.probes.get("healthcheck")
    if each.name.endswith("migrate"):
        return
    if each.name.endswith("flower"):
        assert any("/healthcheck" in str(route) for route in handlers)
        assert "/healthcheck" in str(each.spec)
        return
    if each.name.endswith("web"):
        assert set(re.findall(r"/\w+z\b", str(each.spec))) <= set(health.PATHS)
        (container,) = each.spec.get("containers", [each.spec])
        lives = container.get("livenessProbe") or container.get("healthcheck")
        assert "/healthz" in str(lives)
        assert "/readyz" not in str(lives)
        return
    assert lives is not None
    assert "VIBE_ALIVE_FILE" in lives[2]
    assert "vibe" not in shlex.split(lives[2])


def test_compose_is_valid_and_complete():
    """By a parser of the compose specification; services, networks and secrets are all declared."""
    compose_spec.PyCompose.from_json(json.dumps(compose())).validate()
    services = compose()["services"]
    for spec in services.values():
        assert set(spec.get("depends_on", {})) <= set(services)
        assert set(spec["secrets"]) <= set(compose()["secrets"])
        assert set(spec["networks"]) <= set(compose()["networks"])
        assert {"cpus", "memory", "pids"} == set(spec["deploy"]["resources"]["limits"])
        assert spec["read_only"] is True
        assert spec["cap_drop"] == ["ALL"]
    assert {name for name, spec in services.items() if "ports" in spec} == {
        "flower", "web",
    }  # fmt: skip
    for name in ("flower", "web"):
        assert all(port.startswith("127.0.0.1:") for port in services[name]["ports"])
    assert compose()["networks"]["servers"]["internal"] is True
    used = {name for spec in services.values() for name in spec["secrets"]}
    assert used == set(compose()["secrets"])


def test_keys_of_agents_reach_one_service():
    """In compose too only `code` has them, and hands on what the setting names."""
    services = compose()["services"]
    assert [name for name, spec in services.items() if "env_file" in spec] == ["code"]
    assert [name for name, spec in services.items()
            if "VIBE_AGENT_ENV" in spec.get("environment", {})] == ["code"]  # fmt: skip


def test_a_deployment_has_all_parts():
    """Every lane has workers; there are two beats, and a migration that workers wait for."""
    roles = {each.command[each.command.index("-A") + 1] for each in OURS if each.is_worker}
    assert roles == {f"workers.{lane}" for lane in LANES}
    services = compose()["services"]
    assert services["beat"]["deploy"]["replicas"] == 2
    for variant in VARIANTS:
        found = of_kind(variant, "Deployment")
        (beat,) = (each for each in found if each["metadata"]["name"] == "vibe-beat")
        assert beat["spec"]["replicas"] == 2
    for name in ("code", "qa", "deploy", "control"):
        waits = services[name]["depends_on"]["migrate"]["condition"]
        assert waits == "service_completed_successfully"
    assert "flower" in services["flower"]["profiles"]


@pytest.mark.parametrize("each", [each for each in OURS if "flower" in each.name], ids=at)
def test_flower_asks_who_comes_and_changes_nothing(each: Workload):
    """Basic authentication from a secret, read-only, on its own port."""
    line = " ".join(each.command)
    assert "--read_only=True" in line
    assert "--port=5555" in line
    assert "FLOWER_BASIC_AUTH" in each.environ or 'FLOWER_BASIC_AUTH="$(cat /run' in line


def test_what_the_manual_tells_to_type_is_there():
    """Services, profiles, secrets' files and folders of the commands in docs/deployment.md."""
    page = text_of("docs/deployment.md")
    lines = [line for each in blocks("bash") if each.where.startswith("docs/deployment.md")
             for line in each.text.splitlines()]  # fmt: skip
    services = set(compose()["services"])
    named = re.findall(
        r"(?:exec|/plan.yaml) (\w+) (?:vibe|sh)|--scale (\w+)=", "\n".join([*lines, page])
    )
    assert {name for pair in named for name in pair if name} <= services
    profiles = {
        name for each in compose()["services"].values() for name in each.get("profiles", [])
    }
    assert set(re.findall(r"--profile (\w+)", page)) == profiles
    made = set(re.findall(r"secrets/([\w.]+)", "\n".join(lines)))
    assert made == set(compose()["secrets"]) | {"agents.env"}
    for path in re.findall(r"k8s/[\w./-]+", page):
        assert (ROOT / path).exists(), path
    for name in (*COMPONENTS, *OVERLAYS):
        assert f"`k8s/components/{name}`" in page or f"`k8s/overlays/{name}`" in page
    for name in re.findall(r"deployment/([\w-]+)|service/([\w-]+)", page):
        assert "".join(name) in {each.name for each in OURS}


# --- the image ---


def instructions(stage: int) -> list[tuple[str, str]]:
    """Word and rest of each instruction of a stage of the Dockerfile."""
    text = re.sub(r"^#.*\n", "", text_of("Dockerfile"), flags=re.MULTILINE).replace("\\\n", " ")
    stages = re.split(r"^(?=FROM )", text, flags=re.MULTILINE)[1:]
    lines = [line.strip() for line in stages[stage].splitlines() if line.strip()]
    return [(line.partition(" ")[0], line.partition(" ")[2]) for line in lines]


def test_the_image_is_made_of_files_that_are_there():
    """What is copied exists and is not kept out; everything is installed in pinned versions."""
    ignored = text_of(".dockerignore").splitlines()
    assert "*" in ignored
    for word, rest in instructions(0):
        if word == "COPY":
            for name in rest.split()[:-1]:
                assert (ROOT / name).exists()
                assert f"!{name}" in ignored
        for install in re.findall(r"pip install[^&]*", rest):
            assert "--constraint constraints.txt" in install or "--no-deps --no-index" in install
    (extras,) = (rest.partition("=")[2] for word, rest in instructions(0) if word == "ARG")
    with (ROOT / "pyproject.toml").open("rb") as file:
        known = tomllib.load(file)["project"]["optional-dependencies"]
    assert set(extras.split(",")) <= set(known)


def test_the_image_runs_as_nobody_in_particular():
    """One fixed user without rights, the same in the image, in compose and in the manifests."""
    last = dict(instructions(1))
    assert last["USER"] == "10001:10001"
    assert last["FROM"].startswith("python:${PYTHON}")
    spec = workload("overlays/small", "vibe-worker-code").spec["securityContext"]
    assert (spec["runAsUser"], spec["runAsGroup"], spec["fsGroup"]) == (10001, 10001, 10001)
    assert any("uid=10001,gid=10001" in each for each in compose()["services"]["code"]["tmpfs"])
    installed = last["RUN"]
    for program in ("git", "bubblewrap", "openssh-client", "tini"):
        assert f" {program} " in installed
    environ = dict(pair.split("=", 1) for pair in last["ENV"].split())
    assert {name for name in environ if name.startswith("VIBE_")} <= VARIABLES
    for each in OURS:  # a read-only image: what is written to is mounted
        for path in (environ["VIBE_HOME"], environ["HOME"], "/run/vibe", "/tmp"):
            assert path in each.mounts, at(each)
    assert environ["VIBE_ALIVE_FILE"].startswith("/run/vibe/")


def test_images_are_pinned():
    """Every image has a version; the tag of ours is the package's version."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        version = tomllib.load(file)["project"]["version"]
    for each in workloads():
        name, _, tag = each.image.rpartition(":")
        assert re.match(r"\d", tag), each.image
        assert name != "vibe-tasks" or tag == version, each.image
