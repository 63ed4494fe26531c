# One image for every role: workers, beat, the dispatcher, Flower, migrations and the command.
#
#   docker build --tag vibe-tasks:0.1.0 .
#   docker build --build-arg EXTRAS= --tag vibe-tasks:0.1.0 .     without either extra
#
# Agents' own programs are not in it: add them in an image of yours that begins with this one.

ARG PYTHON=3.13

FROM python:${PYTHON}-slim AS build
WORKDIR /src

# Everything in pinned versions, the build's own tools included; dependencies first, as they change
# seldom. What builds stays in /opt/build, what runs goes to /opt/vibe.
COPY constraints.txt pyproject.toml ./
RUN python -m venv /opt/build \
 && /opt/build/bin/python -m pip install --no-cache-dir --constraint constraints.txt hatchling editables
ARG EXTRAS=llm,kubernetes
RUN python -m venv /opt/vibe \
 && python -c 'import sys, tomllib; project = tomllib.load(open("pyproject.toml", "rb"))["project"]; extras = project["optional-dependencies"]; print(*project["dependencies"], *(each for name in sys.argv[1].split(",") if name for each in extras[name]), sep="\n")' "${EXTRAS}" > requirements.txt \
 && /opt/vibe/bin/python -m pip install --no-cache-dir --constraint constraints.txt --requirement requirements.txt

COPY README.md LICENSE beat_schedule.py ./
COPY vibe_tasks vibe_tasks
COPY workers workers
COPY examples examples
RUN /opt/build/bin/python -m pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheels . \
 && /opt/vibe/bin/python -m pip install --no-cache-dir --no-deps --no-index /wheels/*.whl \
 && /opt/vibe/bin/python -m pip check

FROM python:${PYTHON}-slim

# git and ssh for worktrees and remotes; bubblewrap for `sandbox: strict`; tini reaps what agents
# leave behind, and hands signals to the one process that it starts.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends bubblewrap ca-certificates git openssh-client tini \
 && rm -rf /var/lib/apt/lists/* \
 && groupadd --gid 10001 vibe \
 && useradd --uid 10001 --gid 10001 --create-home --home-dir /home/vibe --shell /usr/sbin/nologin vibe \
 && install --directory --owner vibe --group vibe /var/lib/vibe /run/vibe

COPY --from=build /opt/vibe /opt/vibe

ENV PATH=/opt/vibe/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/home/vibe \
    VIBE_HOME=/var/lib/vibe \
    VIBE_ALIVE_FILE=/run/vibe/alive

WORKDIR /var/lib/vibe
USER 10001:10001
ENTRYPOINT ["tini", "--"]
CMD ["vibe", "--help"]
