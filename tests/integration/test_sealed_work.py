"""Real workers with keys: no word of a payload in the broker, in logs or on the disk."""

from __future__ import annotations

import json
import threading
from base64 import b64decode, urlsafe_b64encode
from dataclasses import replace
from pathlib import Path

import pytest
from celery import chain, chord, group
from click.testing import CliRunner, Result

from tests.cluster import Cluster, ready, running_cluster, said
from tests.homes import own_home
from tests.ledgers import new_job, submit
from tests.processes import until
from vibe_tasks.cli.main import cli
from vibe_tasks.errors import SettingsError
from vibe_tasks.jobs import Publication
from vibe_tasks.priority import Priority
from vibe_tasks.store.engine import open_database
from vibe_tasks.store.job_rows import find_job
from vibe_tasks.store.sealing import is_sealed
from vibe_tasks.tasks import publisher, resources, sealed_messages, work

HUSH = "hush-hush-payload"
OLD, NEW = (urlsafe_b64encode(bytes([each]) * 32).decode() for each in (1, 2))


def heard_in(cluster: Cluster, over: threading.Event, heard: list[bytes]) -> None:
    """Everything that is published to whoever listens, such as Flower, until it is over."""
    with cluster.broker() as broker, broker.pubsub() as listening:
        listening.psubscribe("*")
        while not over.is_set():
            message = listening.get_message(timeout=0.2)
            if message is not None and isinstance(message["data"], bytes):
                heard.append(message["data"])


def in_plain(raw: bytes) -> str:
    """A message of the broker with its body decoded; anything else as it is."""
    text = raw.decode("utf-8", "replace")
    if '"body_encoding"' not in text:
        return text
    return text + b64decode(json.loads(text)["body"]).decode("utf-8", "replace")


def queued(cluster: Cluster) -> str:
    """All that the broker's lists hold, their messages' bodies decoded."""
    with cluster.broker() as broker:
        lists = [key for key in broker.keys("*") if broker.type(key) == b"list"]
        return "\n".join(in_plain(raw) for key in lists for raw in broker.lrange(key, 0, -1))


def test_no_word_of_a_payload_outside_of_who_has_the_key(request: pytest.FixtureRequest) -> None:
    """Chains and chords work as ever. Neither the broker's lists nor what it publishes, nor logs,
    nor the ledger's file tell what they are about; a worker without the key does not start.
    """
    with running_cluster(request, "sqlite", settings={"VIBE_PAYLOAD_KEYS": OLD}) as cluster:
        jobs = cluster.jobs
        chained = chain(jobs.echo.s([HUSH]), jobs.echo.si({"then": HUSH})).apply_async()
        header = group(jobs.echo.s(f"{HUSH}-{number}") for number in range(2))
        joined = chord(header, jobs.echo.s()).apply_async()
        waiting = queued(cluster)
        assert chained.parent.id in waiting
        assert HUSH not in waiting
        assert "(sealed)" in waiting
        over, heard = threading.Event(), list[bytes]()
        listener = threading.Thread(target=heard_in, args=(cluster, over, heard))
        listener.start()
        try:
            worker = cluster.start_worker("code", "-E")
            cluster.dispatcher()
            ready(worker)
            assert chained.get(timeout=120) == {"then": HUSH}
            assert joined.get(timeout=120) == [f"{HUSH}-0", f"{HUSH}-1"]
            until(lambda: any("task-succeeded" in in_plain(each) for each in list(heard)))
        finally:
            over.set()
            listener.join(60)
        assert [each for each in map(in_plain, heard) if HUSH in each] == []
        for path in (*cluster.logs.iterdir(), *cluster.folder.glob("ledger.db*")):
            assert HUSH.encode() not in path.read_bytes(), path
        assert cluster.row(chained.id)["result"] == {"then": HUSH}
        without = cluster.start_worker("code", environ={"VIBE_PAYLOAD_KEYS": NEW})
        until(lambda: without.exit_code() is not None)
        assert "VIBE_PAYLOAD_KEYS has other keys" in said(without)


def vibe(*arguments: str) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(cli, arguments, prog_name="vibe")


def test_a_ledger_is_sealed_anew_by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From plain to sealed to another key and back, each told; without a key, or with a value that
    none opens, it says so.
    """
    monkeypatch.delenv("VIBE_PAYLOAD_KEYS", raising=False)
    keys = tmp_path / "keys"
    keys.write_text(f"{NEW},\n{OLD}\n")
    with own_home(tmp_path, monkeypatch) as home:
        assert "there is no ledger" in vibe("db", "reseal").output
        submit(resources.ledger(), new_job(id="a-job", args=(HUSH,)))
        assert "is not set: with which key?" in vibe("db", "reseal").output
    for entries, told in ((OLD, "are sealed with key"), (f"file:{keys}", "are sealed with key"),
                          (f"none,{NEW}", "are plain now")):  # fmt: skip
        monkeypatch.setenv("VIBE_PAYLOAD_KEYS", entries)
        with own_home(tmp_path, monkeypatch) as home:
            done = vibe("db", "reseal")
            assert (done.exit_code, told in done.output) == (0, True), done.output
            plain = open_database(f"sqlite:///{home / 'ledger.db'}")
            with plain.read() as connection:
                args = find_job(connection, "a-job")["args"]
            plain.close()
            assert is_sealed(args) == (not entries.startswith("none"))
            assert vibe("audit", "list", "--action", "db.reseal").exit_code == 0
    monkeypatch.setenv("VIBE_PAYLOAD_KEYS", OLD)
    with own_home(tmp_path, monkeypatch):
        submit(resources.ledger(), new_job(id="other", args=(HUSH,)))
        shown = vibe("config")
        assert OLD not in shown.output
    monkeypatch.delenv("VIBE_PAYLOAD_KEYS")
    with own_home(tmp_path, monkeypatch):
        refused = vibe("jobs", "list")
        assert refused.exit_code == 2
        assert "is sealed with key" in refused.output
    monkeypatch.setenv("VIBE_PAYLOAD_KEYS", f"none,{OLD}")
    with own_home(tmp_path, monkeypatch) as home:
        broken = open_database(f"sqlite:///{home / 'ledger.db'}")
        with broken.begin() as connection:
            connection.exec_driver_sql(
                "UPDATE jobs SET args = replace(args, '$sealed\":\"v1.', '$sealed\":\"v1.0')"
            )
        broken.close()
        done = vibe("db", "reseal", "--json")
        assert (done.exit_code, json.loads(done.stdout)["left"]) == (1, {"jobs": 1})


@pytest.mark.parametrize(
    ("entries", "why"),
    [("short", "use 32 bytes"), (f"{OLD},none", "must be the first"), ("file:", "use 32 bytes"),
     ("é" * 32, "use 32 bytes"), ("file:nowhere", "cannot read nowhere"),
     ("file:bad", "use 32 bytes")],
)  # fmt: skip
def test_wrong_keys_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entries: str, why: str
) -> None:
    """In one line that does not repeat them."""
    monkeypatch.setenv("VIBE_PAYLOAD_KEYS", entries)
    (tmp_path / "bad").write_text("no-key-at-all")
    with own_home(tmp_path, monkeypatch):
        with pytest.raises(SettingsError, match=why) as refused:
            resources.sealing()
        assert OLD not in str(refused.value)
        assert "no-key-at-all" not in str(refused.value)


def test_a_message_that_cannot_be_opened_is_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its job is not claimed by that worker, though its arguments may be plain: what is to follow
    it would be lost. Only what carries something is sealed at all.
    """
    alone = Publication(
        id="a", name="b", queue="code", shown="x=1", priority=Priority.NORMAL, time_limit=None,
        canvas=None,
    )  # fmt: skip
    job = replace(alone, canvas={"chain": []})
    monkeypatch.delenv("VIBE_PAYLOAD_KEYS", raising=False)
    with own_home(tmp_path, monkeypatch):
        assert sealed_messages.install() == ["json"]
        assert sealed_messages.serializer_of(job) == "json"
        assert sealed_messages.shown_of(job) == "(x=1)"
    monkeypatch.setenv("VIBE_PAYLOAD_KEYS", OLD)
    with own_home(tmp_path, monkeypatch):
        assert sealed_messages.install() == ["json", sealed_messages.NAME]
        assert sealed_messages.serializer_of(job) == sealed_messages.NAME
        assert sealed_messages.serializer_of(alone) == "json"
        assert sealed_messages.shown_of(alone) == sealed_messages.HIDDEN
        message = sealed_messages._dumps([[], {}, {"chain": [HUSH]}])
        assert HUSH not in message
        assert sealed_messages._loads(message) == [[], {}, {"chain": [HUSH]}]
    monkeypatch.setenv("VIBE_PAYLOAD_KEYS", NEW)
    with own_home(tmp_path, monkeypatch):
        assert sealed_messages._loads(message) == sealed_messages.EMPTY
        submit(resources.ledger(), new_job(id="a"))
        work.dev.push_request(
            {"id": "a", "hostname": "w", publisher.OURS: 1.0, **sealed_messages._loads(message)[2]}
        )
        try:
            assert work.dev._claim((), {}) is None
        finally:
            work.dev.pop_request()
        with resources.ledger().read() as connection:
            assert find_job(connection, "a")["attempt"] == 0
