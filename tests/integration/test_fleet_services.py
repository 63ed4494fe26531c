"""The provisioners that ask somebody else for workers: Kubernetes and a webhook, over real HTTP;
and the one that only registers them.
"""

from __future__ import annotations

import hmac
import json
import threading
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from tests.kubernetes_server import Api, kubernetes_server, write_kubeconfig
from tests.ledgers import claim, new_job, submit
from tests.webhook_server import Reply, webhook_server
from vibe_tasks import provision_virtual_worker
from vibe_tasks.fleet import FleetLane, parse_fleet
from vibe_tasks.store import jobs
from vibe_tasks.store.candidates import workers_of
from vibe_tasks.store.engine import Database
from vibe_tasks.store.load import lane_loads
from vibe_tasks.store.workers import list_workers
from vibe_tasks.tasks.fleet.provisioners.kubernetes import Kubernetes, _api
from vibe_tasks.tasks.fleet.provisioners.provisioner import Found, Order, ProvisionerError
from vibe_tasks.tasks.fleet.provisioners.virtual import Virtual
from vibe_tasks.tasks.fleet.provisioners.webhook import Webhook

(QA,) = parse_fleet(["qa=kubernetes:1:20"])
KEY = "shared with the receiver"


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine's proxy is no way to the machine itself."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    """A cluster's API that the kubeconfig leads to, with the Deployment of lane qa."""
    with kubernetes_server() as server:
        monkeypatch.setenv("KUBECONFIG", str(write_kubeconfig(tmp_path, server.url)))
        server.replicas = {"fleet/vibe-worker-qa": 2}
        _api.cache_clear()
        yield server
        _api.cache_clear()


def order(before: int, target: int) -> Order:
    return Order(number=7, before=before, target=target, reason="jobs wait")


def kubernetes(timeout: float = 5.0) -> Kubernetes:
    return Kubernetes(namespace="", timeout=timeout)


def test_a_deployments_replicas_are_read_and_set(api: Api):
    """Only its scale is touched, in the namespace of the context; zero replicas are a size too."""
    assert kubernetes().look(QA, last=None) == Found(size=2)
    assert kubernetes().scale(QA, order(2, 5)) == 5
    assert kubernetes().scale(QA, order(5, 0)) == 0
    assert kubernetes().look(QA, last=None).size == 0
    assert {path for _, path, _ in api.asked} == {
        "/apis/apps/v1/namespaces/fleet/deployments/vibe-worker-qa/scale"
    }
    bodies = [body for method, _, body in api.asked if method == "PATCH"]
    assert [body["spec"] for body in bodies] == [{"replicas": 5}, {"replicas": 0}]


def test_a_size_that_is_there_already_is_not_set_again(api: Api):
    """An order whose answer was lost is carried out once."""
    kubernetes().scale(QA, order(2, 5))
    assert kubernetes().scale(QA, order(2, 5)) == 5
    assert [method for method, _, _ in api.asked].count("PATCH") == 1


def test_a_write_in_between_is_a_conflict_and_tried_again(api: Api):
    """One 409 costs a second try; who never gets through says that others keep writing."""
    conflicts = [409]
    api.trouble = lambda method: (conflicts.pop(), {}) if method == "PATCH" and conflicts else None
    assert kubernetes().scale(QA, order(2, 3)) == 3
    conflicts += [409] * 9
    with pytest.raises(ProvisionerError, match="others keep writing it"):
        kubernetes().scale(QA, order(3, 4))


def test_a_size_that_somebody_else_has_set_is_left_alone(api: Api):
    """A person's `kubectl scale` between look and order wins; the next look starts from it."""
    api.replicas["fleet/vibe-worker-qa"] = 9
    with pytest.raises(ProvisionerError, match="somebody else has set 9 replicas"):
        kubernetes().scale(QA, order(2, 5))
    assert api.replicas["fleet/vibe-worker-qa"] == 9


@pytest.mark.parametrize(
    ("code", "headers", "said", "after"),
    [
        (403, {}, "403 Forbidden: may not get or patch deployments/scale", None),
        (401, {}, "401 Unauthorized: the credentials", None),
        (429, {"Retry-After": "7"}, "429 Too Many Requests", 7.0),
        (500, {}, "500 Internal Server Error", None),
    ],
)
def test_refusals_say_what_to_do(api: Api, code: int, headers: dict[str, str], said: str, after):
    """In one line; and how long the server wants to be left alone."""
    api.trouble = lambda _method: (code, headers)
    with pytest.raises(ProvisionerError, match=said) as caught:
        kubernetes().look(QA, last=None)
    assert caught.value.retry_after == after
    assert len(api.asked) == 1


@pytest.mark.usefixtures("api")
def test_a_deployment_that_is_not_there_is_named():
    """With the name that was looked for."""
    lane = FleetLane(lane="qa", provisioner="kubernetes", least=0, most=1, target="no-such")
    with pytest.raises(ProvisionerError, match=r"Deployment no-such: .* no such Deployment"):
        kubernetes().look(lane, last=None)


def test_an_api_that_does_not_answer_is_given_up(api: Api):
    """In the time that it is given, whether it is slow or gone."""
    api.hold = threading.Event()
    with pytest.raises(ProvisionerError, match="no sound answer"):
        kubernetes(timeout=0.05).look(QA, last=None)
    api.hold.set()
    api.hold = None
    assert kubernetes().look(QA, last=None).size == 2


def test_without_a_cluster_one_line_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Neither in a pod nor with a kubeconfig."""
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    _api.cache_clear()
    with pytest.raises(ProvisionerError, match="no access to a Kubernetes cluster"):
        kubernetes().look(QA, last=None)


# --- webhook ---

CODE = FleetLane(lane="code", provisioner="webhook", least=0, most=9, slots=4)


def webhook(url: str, *, timeout: float = 5.0) -> Webhook:
    return Webhook(url, secret=KEY, timeout=timeout, wall_clock=lambda: 1_700_000_000.5)


def test_a_webhook_is_told_the_size_and_may_answer_another():
    """The order is signed as escalations are; `applied` of the answer is what there is."""
    said = {"applied": 3}
    with webhook_server(lambda *_: Reply(body=json.dumps(said).encode())) as server:
        assert webhook(server.url).scale(CODE, order(1, 5)) == 3
    (got,) = server.received
    assert got.message == {
        "version": 1, "type": "SCALE", "lane": "code", "before": 1, "target": 5,
        "reason": "jobs wait", "slots": 4,
    }  # fmt: skip
    signed = b"1700000000." + got.body
    expected = "sha256=" + hmac.new(KEY.encode(), signed, sha256).hexdigest()
    assert got.headers["x-vibe-signature"] == expected
    assert got.headers["x-vibe-delivery"] == "scale-7"


@pytest.mark.parametrize("body", [b"", b"ok", b"[1]", b'{"applied": "many"}', b'{"applied": -1}'])
def test_an_answer_that_says_no_number_is_a_yes(body: bytes):
    """Any 2xx takes the order as it is."""
    with webhook_server(lambda *_: Reply(status=202, body=body)) as server:
        assert webhook(server.url).scale(CODE, order(1, 5)) == 5


def test_a_webhook_that_refuses_or_hangs_is_an_error():
    """A server in trouble says when to come back; one that hangs is given up."""
    replies = [Reply(status=503, headers={"Retry-After": "9"}), Reply(status=400), Reply(hold=True)]
    with webhook_server(lambda _got, number: replies[number]) as server:
        with pytest.raises(ProvisionerError, match="answered 503") as caught:
            webhook(server.url).scale(CODE, order(1, 5))
        assert caught.value.retry_after == 9.0
        with pytest.raises(ProvisionerError, match="answered 400"):
            webhook(server.url).scale(CODE, order(1, 5))
        with pytest.raises(ProvisionerError, match="no answer"):
            webhook(server.url, timeout=0.1).scale(CODE, order(1, 5))


# --- virtual ---


def test_virtual_workers_are_registered_and_nothing_else(database: Database):
    """Named and sized as the design document says, kept fresh, no candidates of the router; of
    those that go, one that holds a job goes when it has ended it.
    """
    (lane,) = parse_fleet(["code=virtual:0:5"])
    provisioner = Virtual(database)
    assert provisioner.scale(lane, order(0, 3)) == 3
    submit(database, new_job(id="held"))
    claim(database, "held", worker="@code-auto-3")

    def there() -> dict[str, str]:
        with database.read() as connection:
            return {row["worker_id"]: row["status"] for row in list_workers(connection)}

    assert there() == {f"@code-auto-{number}": "online" for number in (1, 2, 3)}
    with database.read() as connection:
        assert workers_of(connection, "code", lease=60) == ()
        assert lane_loads(connection)["code"].slots == 9
    assert provisioner.scale(lane, order(3, 1)) == 1
    assert there() == {"@code-auto-3": "online"}
    released = FleetLane(lane="code", provisioner="virtual", least=0, most=0)
    assert provisioner.scale(released, order(1, 0)) == 0
    assert there() == {"@code-auto-3": "draining"}
    with database.begin() as connection:
        jobs.complete_job(connection, "held", 1, None)
    provisioner.tend(lane)
    assert there() == {}
    with database.begin() as connection:
        assert provision_virtual_worker(connection, "code") == "@code-auto-1"
        (row,) = list_workers(connection)
    assert (row["capacity_limit"], row["tier"]) == (3, "standard")
