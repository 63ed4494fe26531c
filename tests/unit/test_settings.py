from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vibe_tasks.errors import SettingsError
from vibe_tasks.masking import MASK, masked
from vibe_tasks.setting_sources import read_settings
from vibe_tasks.settings import Settings


def read(environ: dict[str, str] | None = None, toml: dict[str, object] | None = None) -> Settings:
    return read_settings(environ or {}, toml or {})[0]


def test_the_defaults_need_nothing() -> None:
    """An empty environment and no file are enough."""
    settings = read()
    assert (settings.home, settings.lease_seconds, settings.max_retries) == (".vibe", 8.0, 3)


def test_the_environment_wins_over_the_file() -> None:
    """Each setting tells where it came from."""
    settings, listing = read_settings(
        {"VIBE_LEASE_SECONDS": "7.5", "HOME": "/root"}, {"lease_seconds": 5, "max_retries": 9}
    )
    assert (settings.lease_seconds, settings.max_retries) == (7.5, 9)
    sources = {each.name: each.source for each in listing}
    assert sources["lease_seconds"] == "VIBE_LEASE_SECONDS"
    assert sources["max_retries"] == "vibe.toml"
    assert sources["home"] == "default"
    assert set(sources) == set(Settings.model_fields)


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("VIBE_LEASE_SECONDS", "soon", "VIBE_LEASE_SECONDS: .*number"),
        ("VIBE_LEASE_SECONDS", "0", "VIBE_LEASE_SECONDS: .*greater than 0"),
        ("VIBE_LEASE_SECONDS", "nan", "VIBE_LEASE_SECONDS"),
        ("VIBE_LEASE_SECONDS", "inf", "VIBE_LEASE_SECONDS"),
        ("VIBE_MAX_RETRIES", "0", "VIBE_MAX_RETRIES: .*1"),
        ("VIBE_MAX_RETRIES", "1.5", "VIBE_MAX_RETRIES"),
        ("VIBE_RETRY_BASE", "-1", "VIBE_RETRY_BASE"),
        ("VIBE_DISPATCH_SECONDS", "61", "VIBE_DISPATCH_SECONDS: .*60"),
        ("VIBE_DATABASE_URL", "mysql://x/y", "VIBE_DATABASE_URL: use sqlite:///PATH"),
        ("VIBE_DATABASE_URL", "sqlite://", "VIBE_DATABASE_URL: a ledger in memory"),
        ("VIBE_DATABASE_URL", "sqlite:///:memory:", "a ledger in memory"),
        ("VIBE_BROKER_URL", "amqp://x", "VIBE_BROKER_URL: use redis://"),
        ("VIBE_WORKER_TIER", "junior", "VIBE_WORKER_TIER: .*senior"),
        ("VIBE_LOG_LEVEL", "LOUD", "VIBE_LOG_LEVEL"),
        ("VIBE_HOME", "", "VIBE_HOME"),
        (
            "VIBE_LEASE_SECOND",
            "5",
            "VIBE_LEASE_SECOND: unknown setting.*did you mean .*VIBE_LEASE_SECONDS",
        ),
        ("VIBE_XYZZY", "5", "VIBE_XYZZY: unknown setting$"),
        ("VIBE_LEASE_SECOND_FILE", "/x", "did you mean 'VIBE_LEASE_SECONDS_FILE'"),
        ("VIBE_LEASE_SECONDS_FILE", "", "VIBE_LEASE_SECONDS_FILE: must name a file"),
        ("VIBE_WORKER_LABELS", "gp u", "LABELS: a label is made of letters, .*, got 'gp u'$"),
        ("VIBE_FLEET", "code=process:0:1:0", "SLOTS must be 1 or more, got 0$"),
        ("VIBE_FLEET", "code=process:-1:1", "'-1' must be a whole number, in [^ ]*$"),
        ("VIBE_FLEET", "code=webhook:0:1", "needs VIBE_FLEET_WEBHOOK"),
        ("VIBE_ROUTER_WEIGHTS", "slot=x", "must be a number, at most a million, got 'x'$"),
    ],
)
def test_a_wrong_variable_stops_the_start(variable: str, value: str, words: str) -> None:
    """L10: one line that names the variable and says what is wrong."""
    with pytest.raises(SettingsError, match=words) as caught:
        read({variable: value})
    assert "\n" not in str(caught.value)


def test_a_wrong_key_names_the_file() -> None:
    """The file's keys are checked like the variables."""
    with pytest.raises(SettingsError, match=r"vibe\.toml: leese_seconds: unknown setting.*did you"):
        read({}, {"leese_seconds": 3})
    with pytest.raises(SettingsError, match=r"^vibe\.toml: lease_seconds: "):
        read({}, {"lease_seconds": -3})


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_every_name_of_postgresql_is_understood(scheme: str) -> None:
    """Hosting services write it in different ways; the driver is ours."""
    settings = read({"VIBE_DATABASE_URL": f"{scheme}://u:p@h/db"})
    assert settings.database_url == "postgresql+psycopg://u:p@h/db"


def test_a_list_is_split_at_commas() -> None:
    """Spaces and empty parts mean nothing; the file may give a list."""
    assert read({"VIBE_IMPORTS": " a.b , c,"}).imports == ("a.b", "c")
    assert read({}, {"imports": ["a", "b"]}).imports == ("a", "b")
    assert read({"VIBE_AGENT_ENV": "A_KEY, B_KEY"}).agent_env == ("A_KEY", "B_KEY")


def test_variables_for_agents_are_no_settings() -> None:
    """An agent that calls `vibe` has them in its environment."""
    read({"VIBE_JOB_ID": "x", "VIBE_PLAN": "p", "VIBE_KIND": "dev", "VIBE_ATTEMPT": "1"})


@pytest.mark.parametrize(
    ("value", "shown"),
    [("redis://:secret@h/0", "redis://:***@h/0"), ("redis://u:secret@h:1", "redis://u:***@h:1"),
     ("postgresql://u@h/db", "postgresql://u@h/db"), ("sqlite:////tmp/x", "sqlite:////tmp/x"),
     ("postgresql://u:a/b#c?d@h/db", "postgresql://u:***@h/db"),
     ("postgresql://h/db?sslmode=require&password=x", "postgresql://h/db?sslmode=require&password=***"),
     ("https://token@h/a.git", "https://***@h/a.git"), ("https://u:x@h/a", "https://u:***@h/a"),
     ("HTTPS://token:x-oauth-basic@h/a", "HTTPS://***@h/a"), ("https://token:@[h/a", "https://***@[h/a"),
     ("https://h/a?private_token=x&y#z", "https://h/a?private_token=***&***#***"),
     ("ssh://git@h/a.git", "ssh://git@h/a.git"), ("git@h:a.git", "git@h:a.git"),
     ("plain", "plain"), (5, 5)],
)  # fmt: skip
def test_passwords_are_masked(value: object, shown: object) -> None:
    """`vibe settings` may be shown to anybody."""
    assert masked(value) == shown


def test_secrets_are_shown_to_nobody() -> None:
    """A webhook's path lets anybody post there; the secret signs what is posted."""
    webhook, secret = "https://hooks.test:8443/services/T0/B1?key=x", "shared with the receiver"
    settings, listing = read_settings(
        {"VIBE_ESCALATION_WEBHOOK": webhook, "VIBE_ESCALATION_SECRET": secret}, {}
    )
    assert (settings.escalation_webhook, settings.escalation_secret) == (webhook, secret)
    shown = {each.name: each.value for each in listing}
    assert shown["escalation_webhook"] == "https://hooks.test:8443/***"
    assert shown["escalation_secret"] == MASK
    assert {each.name: each.value for each in read_settings({}, {})[1]}["escalation_secret"] == ""


@pytest.mark.parametrize(
    "given",
    ["hooks.test/secret-path", "ftp://hooks.test/secret-path", "https:///secret-path",
     "https://h:x/secret-path", "https://h/secret-path with space", "https://u:p@h/secret-path",
     "https://h/secret-path\x7f"],
)  # fmt: skip
def test_a_webhook_is_an_address(given: str) -> None:
    """What cannot be posted to is refused at the start, and its path is not shown."""
    with pytest.raises(SettingsError, match="VIBE_ESCALATION_WEBHOOK: use https") as caught:
        read({"VIBE_ESCALATION_WEBHOOK": given})
    assert "secret-path" not in str(caught.value)


def test_an_escalation_command_is_a_command_line() -> None:
    """An open quote is refused at the start, not when somebody is to be told."""
    with pytest.raises(SettingsError, match="VIBE_ESCALATION_COMMAND: not a command line"):
        read({"VIBE_ESCALATION_COMMAND": "notify 'me"})


def test_a_refused_url_does_not_show_its_password() -> None:
    """An error line may be shown to anybody too."""
    with pytest.raises(SettingsError) as caught:
        read({"VIBE_DATABASE_URL": "mysql://u:secret@h/db"})
    assert "secret" not in str(caught.value)


@given(st.dictionaries(st.text(min_size=1), st.text(), max_size=5))
def test_the_rest_of_the_environment_is_nobodys_business(environ: dict[str, str]) -> None:
    """Variables without the prefix never stop a start."""
    read({name: value for name, value in environ.items() if not name.startswith("VIBE_")})


def test_a_value_may_come_from_a_file() -> None:
    """As containers are given their secrets; the variable that names the file is the source."""
    files = {"/run/secrets/url": "postgresql://u:p@h/db\n"}
    settings, listing = read_settings(
        {"VIBE_DATABASE_URL_FILE": "/run/secrets/url", "VIBE_ALIVE_FILE": "/run/alive"}, {},
        read=files.__getitem__,
    )  # fmt: skip
    assert settings.database_url == "postgresql+psycopg://u:p@h/db"
    assert settings.alive_file == "/run/alive"  # a setting whose own name ends so
    (found,) = (each for each in listing if each.name == "database_url")
    assert (found.source, MASK in found.value) == ("VIBE_DATABASE_URL_FILE", True)


def test_a_file_that_cannot_be_read_stops_the_start() -> None:
    """One line with variable and reason; a value twice, or of an unknown name, is refused too."""

    def gone(path: str) -> str:
        raise FileNotFoundError(2, "No such file or directory", path)

    with pytest.raises(SettingsError, match="VIBE_BROKER_URL_FILE: cannot read /x: No such file"):
        read_settings({"VIBE_BROKER_URL_FILE": "/x"}, {}, read=gone)
    with pytest.raises(SettingsError, match="VIBE_BROKER_URL is set too"):
        read({"VIBE_BROKER_URL_FILE": "/x", "VIBE_BROKER_URL": "redis://h"})
    with pytest.raises(SettingsError, match="VIBE_BROKRE_URL_FILE: unknown setting"):
        read({"VIBE_BROKRE_URL_FILE": "/x"})


def test_the_name_of_a_driver_is_not_shown() -> None:
    """People write `postgresql://`, and are shown what they wrote."""
    assert masked("postgresql+psycopg://ann:pw@db/vibe") == "postgresql://ann:***@db/vibe"
