"""The API against its own OpenAPI document: whatever is sent, it answers as it says it does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.checks import (
    content_type_conformance,
    not_a_server_error,
    response_schema_conformance,
    status_code_conformance,
)

from tests.filled_ledger import HANDLER, LANE, WORKER, Filled, fill
from tests.long import FULL, long
from tests.web import Web, running_web
from vibe_tasks.store import version
from vibe_tasks.store.engine import open_database

CHECKS = [
    not_a_server_error, status_code_conformance, content_type_conformance,
    response_schema_conformance,
]  # fmt: skip

EVENT = {"source_app": "s", "session_id": "s", "hook_event_type": "Stop", "payload": {}}

DEAR = {
    "/api/v1/doctor", "/api/v1/db", "/api/v1/health/{part}", "/api/v1/workers/drain",
    "/api/v1/workers/{name}/drain",
}  # fmt: skip
"""Paths that start programs or ask servers: a few examples will do."""

EXAMPLES, MANY = 3, 40


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """A server on SQLite; it is asked as often as it can answer."""
    home = tmp_path_factory.mktemp("fuzz") / "home"
    with running_web(home, web_rate=0, web_patience=600, publish_timeout=0.05) as running:
        yield running


def known_ids(filled: Filled) -> dict[str, list[str]]:
    """What there is in the ledger, by the parameter of a path that may name it."""
    jobs = [*filled.jobs.values(), filled.deploy, filled.dev, "report-1", "report-2"]
    return {
        "job_id": [*jobs, filled.dev[:8]], "plan": [filled.plan, "todo"], "lane": ["code", LANE],
        "name": [WORKER], "handler": [HANDLER],
    }  # fmt: skip


def attack(
    url: str, document: dict[str, Any], filled: Filled, *, examples: int, modes: Any
) -> dict[str, str]:
    """Send generated requests to each operation; what went wrong, by operation."""
    schema = schemathesis.openapi.from_dict(document)
    schema.config.update(base_url=url)
    ids, wrong = known_ids(filled), {}
    for result in schema.get_all_operations():
        operation = result.ok()
        if not operation.path.startswith("/api/v1/"):
            continue
        number = min(examples, 2) if operation.path in DEAR else examples
        for mode in modes:
            try:
                _fuzz(operation, ids, examples=number, mode=mode)
            except Exception as error:  # noqa: BLE001  all operations are looked at before we fail
                causes = getattr(error, "exceptions", (error,))
                said = "\n".join(f"{type(each).__name__}: {each}" for each in causes)
                wrong[f"{operation.label} ({mode.value})"] = said[:3000]
    return wrong


def _fuzz(operation: Any, ids: dict[str, list[str]], *, examples: int, mode: Any) -> None:
    names = [name for name in ids if f"{{{name}}}" in operation.path]

    @settings(
        max_examples=examples, deadline=None, derandomize=not FULL, database=None,
        suppress_health_check=list(HealthCheck), phases=[Phase.generate],
    )  # fmt: skip
    @given(case=operation.as_strategy(generation_mode=mode), data=st.data())
    def send(case: Case, data: st.DataObject) -> None:
        for name in names:
            chosen = data.draw(st.sampled_from([None, *ids[name], *ids[name]]))
            if chosen is not None:
                case.path_parameters = {**(case.path_parameters or {}), name: chosen}
        if isinstance(case.body, dict) and isinstance(case.body.get("wait"), int | float):
            case.body["wait"] = 0  # nobody is about to submit a job
        case.validate_response(_answered(case), checks=CHECKS)

    send()


def _answered(case: Case) -> Any:
    """The answer; a ledger that was busy for too long, on a loaded machine, is asked again."""
    answer = case.call(timeout=600)
    for _ in range(5):
        if answer.status_code != 503:
            break
        assert answer.headers.get("retry-after")
        answer = case.call(timeout=600)
    return answer


def test_every_operation_answers_as_it_says(web: Web, tmp_path: Path) -> None:
    """No 500s: status, content type and body of each answer to generated requests, those that
    make no sense among them, are those of the OpenAPI document.
    """
    filled = fill(web.ledger, tmp_path)
    document = web.client.get("/api/v1/openapi.json").json()
    modes = [GenerationMode.POSITIVE, GenerationMode.NEGATIVE]
    wrong = attack(web.url, document, filled, examples=EXAMPLES, modes=modes)
    assert not wrong, "\n\n".join(f"{name}: {text}" for name, text in wrong.items())


@long
@pytest.mark.postgres
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("server", ["sqlite", "postgres"])
def test_every_operation_answers_for_long(
    request: pytest.FixtureRequest, tmp_path: Path, server: str
) -> None:
    """The same with many more requests; PostgreSQL's texts take less than SQLite's."""
    url = request.getfixturevalue(f"{server}_url")
    version.create(opened := open_database(url))
    opened.close()
    modes = [GenerationMode.POSITIVE, GenerationMode.NEGATIVE]
    with running_web(
        tmp_path / "home", web_rate=0, web_patience=600, publish_timeout=0.05, database_url=url
    ) as running:
        filled = fill(running.ledger, tmp_path)
        document = running.client.get("/api/v1/openapi.json").json()
        wrong = attack(running.url, document, filled, examples=MANY, modes=modes)
    assert not wrong, "\n\n".join(f"{name}: {text}" for name, text in wrong.items())
