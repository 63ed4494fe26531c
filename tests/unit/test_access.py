"""Tokens and roles, and which pages and askers are let in: decisions without a server."""

from __future__ import annotations

from base64 import urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vibe_tasks.access import (
    LOCAL,
    Identity,
    Role,
    identity_of,
    is_loopback,
    parse_token,
    require_token,
    tokens_of,
)
from vibe_tasks.errors import SettingsError
from vibe_tasks.masking import MASK
from vibe_tasks.setting_sources import read_settings
from vibe_tasks.settings import Settings
from vibe_tasks.web.guard import asked
from vibe_tasks.web.origins import may_come_from, names_this_machine
from vibe_tasks.web.rates import MOST_KNOWN, WRONG_SECONDS, WRONG_TOKENS, Rates, WrongTokens
from vibe_tasks.web.security import access_of


class Clock:
    """Seconds that a test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """The time."""
        return self.now


def test_a_token_gives_its_owner_a_role() -> None:
    """The one of VIBE_API_TOKEN may do everything, the others what their settings say."""
    tokens = tokens_of("a:b", ("read:grafana:x:y", "operate:ci:z"))
    assert identity_of(tokens, "a:b") == Identity(name="admin", role=Role.ADMIN)
    assert identity_of(tokens, "x:y") == Identity(name="grafana", role=Role.READ)
    assert identity_of(tokens, "z") == Identity(name="ci", role=Role.OPERATE)
    for stranger in ("", "a", "a:b ", "A:B", "x", "grafana", "read:grafana:x:y", "ä", "\udcff"):
        assert identity_of(tokens, stranger) is None
    assert identity_of((), "") is None


@pytest.mark.parametrize(
    "text", ["", "x", "read:x", "root:a:hidden-1", "read::hidden-1", "read:a b:hidden-1",
             "read:a:", "read:a:hidden 1", "read:a:hidden\n1", "READ:a:hidden-1"],
)  # fmt: skip
def test_a_wrong_token_is_refused_and_not_repeated(text: str) -> None:
    """What a person mistyped may be most of a secret: it stands in no message and no traceback."""
    with pytest.raises(ValueError, match="ROLE:NAME:SECRET") as caught:
        parse_token(text)
    assert "hidden" not in str(caught.value)
    if not text:
        return
    with pytest.raises(SettingsError, match=r"^VIBE_API_TOKENS: ") as refused:
        read_settings({"VIBE_API_TOKENS": text}, {})
    assert "hidden" not in f"{refused.value} {refused.value.__cause__}"


def test_tokens_are_shown_to_nobody() -> None:
    """Neither by `vibe config` nor by whoever prints the settings or what was made of them."""
    given = {"VIBE_API_TOKEN": "hidden-1", "VIBE_API_TOKENS": "read:a:hidden-2,admin:b:hidden-3"}
    settings, listing = read_settings(given, {})
    shown = {each.name: each.value for each in listing}
    assert (shown["api_token"], shown["api_tokens"]) == (MASK, MASK)
    access = access_of(settings)
    assert len(access.tokens) == 3
    assert "hidden" not in f"{settings!r} {settings} {access!r} {access.tokens!r}"
    with pytest.raises(SettingsError, match="visible ASCII") as refused:
        read_settings({"VIBE_API_TOKEN": "hidden 4"}, {})
    assert "hidden" not in f"{refused.value} {refused.value.__cause__}"


def test_without_tokens_everybody_on_this_machine_is_admin() -> None:
    """And a token that somebody shows all the same does not matter."""
    access = access_of(Settings())
    assert access.is_open
    assert access.identity(None) == access.identity("x") == LOCAL
    closed = access_of(Settings(api_token="a"))  # noqa: S106  of this test
    assert (closed.is_open, closed.identity(None), closed.identity("x")) == (False, None, None)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "localhost", "LOCALHOST.", "::1",
                                  "a.localhost"])  # fmt: skip
def test_this_machine_alone_needs_no_token(host: str) -> None:
    """All names that can mean nothing else count."""
    assert is_loopback(host)
    require_token(host, ())


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.7", "a.org",  # noqa: S104
                                  "localhost.a.org", "127.0.0.1.a.org", "", "1", "0"])  # fmt: skip
def test_other_addresses_need_a_token(host: str) -> None:
    """The refusal names the variable that helps."""
    assert not is_loopback(host)
    with pytest.raises(SettingsError, match="VIBE_API_TOKEN"):
        require_token(host, ())
    require_token(host, tokens_of("a", ()))


@pytest.mark.parametrize(
    ("host", "ours"),
    [("localhost:4000", True), ("127.0.0.1", True), ("[::1]:4000", True), ("evil.org", False),
     ("localhost@evil.org", False), ("evil.org#localhost", False), ("localhost/", False),
     ("[::1", False), ("", False), ("127.0.0.1.evil.org:4000", False)],
)  # fmt: skip
def test_a_foreign_name_of_this_address_is_noticed(host: str, ours: bool) -> None:
    """DNS rebinding: a page's name points to us, and Host says so."""
    assert names_this_machine(host) is ours


@pytest.mark.parametrize(
    ("origin", "fine"),
    [(None, True), ("http://localhost:4000", True), ("https://localhost:4000", True),
     ("http://localhost:5173", True), ("HTTP://LOCALHOST:5173", True),
     ("http://localhost", False), ("http://localhost:4001", False), ("null", False),
     ("http://localhost:4000.evil.org", False), ("http://localhost.evil.org:4000", False),
     ("http://evil.org", False), ("file://localhost:4000", False), ("", False),
     ("http://localhost:99999", False), ("http://[", False)],
)  # fmt: skip
def test_only_our_own_pages_may_change_something(origin: str | None, fine: bool) -> None:
    """Beside them the named ones, and programs, which send no Origin."""
    assert may_come_from(origin, "localhost:4000", {"http://localhost:5173"}) is fine


def test_a_usual_port_is_left_out() -> None:
    """Behind a proxy that ends TLS, Host has no port and the page neither."""
    assert may_come_from("https://vibe.example.org", "vibe.example.org", ())
    assert may_come_from("https://vibe.example.org:443", "vibe.example.org", ())
    assert not may_come_from("https://vibe.example.org:8443", "vibe.example.org", ())


@pytest.mark.parametrize(
    ("given", "words"),
    [("http://localhost:5173/", "without a path"), ("localhost:5173", "without a path"),
     ("*", "without a path"), ("http://u@h", "without a path"), ("http://h:0", "without a path"),
     ("http://h:x", "without a path")],
)  # fmt: skip
def test_an_origin_is_no_address_of_a_page(given: str, words: str) -> None:
    """What would never match is refused at the start."""
    with pytest.raises(SettingsError, match=f"VIBE_WEB_ORIGINS: .*{words}"):
        read_settings({"VIBE_WEB_ORIGINS": given}, {})


def scope(*headers: tuple[bytes, bytes], **more: object) -> dict[str, object]:
    return {"type": "http", "method": "GET", "path": "/", "headers": list(headers), **more}


@pytest.mark.parametrize("secret", ["a", "a:b-c_d", "ü", "x" * 500])
def test_a_browsers_websocket_shows_its_token_as_a_subprotocol(secret: str) -> None:
    """With and without the padding of base64; an address would end in a log."""
    code = urlsafe_b64encode(secret.encode()).decode()
    for text in (code, code.rstrip("=")):
        found = asked(scope(type="websocket", subprotocols=["vibe", f"bearer.{text}"]))
        assert (found.secret, found.method, found.changes) == (secret, "WEBSOCKET", True)


@given(st.text())
def test_no_subprotocol_breaks_anything(text: str) -> None:
    """Nonsense is a wrong token."""
    found = asked(scope(type="websocket", subprotocols=[f"bearer.{text}"]))
    assert found.secret is not None


def test_only_a_bearer_token_counts() -> None:
    """Neither other schemes nor an empty one."""

    def shown(value: bytes) -> str | None:
        return asked(scope((b"authorization", value))).secret

    assert (shown(b"Bearer a"), shown(b"bearer  a "), shown(b"BEARER a")) == ("a", "a", "a")
    assert (shown(b"Basic a"), shown(b"a"), shown(b"Bearer "), shown(b"")) == (None,) * 4
    assert asked(scope()).address == ""
    assert asked(scope(client=("10.0.0.1", 5))).address == "10.0.0.1"


def test_everybody_has_a_bucket_of_their_own() -> None:
    """A second's worth at once, then as many as the rate; one who asks too much delays nobody."""
    clock = Clock()
    rates = Rates(2.0, monotonic=clock)
    assert [rates.wait("a") for _ in range(3)] == [0.0, 0.0, 0.5]
    assert rates.wait("b") == 0.0
    clock.now = 0.5
    assert [rates.wait("a"), rates.wait("a")] == [0.0, 0.5]
    clock.now = 60.0
    assert [rates.wait("a") for _ in range(3)] == [0.0, 0.0, 0.5]
    free = Rates(0.0, monotonic=clock)
    assert [free.wait("a") for _ in range(3)] == [0.0] * 3


def test_strangers_take_no_memory() -> None:
    """However many addresses somebody has, a bounded number is remembered."""
    clock = Clock()
    rates, wrong = Rates(1.0, monotonic=clock), WrongTokens(monotonic=clock)
    for number in range(MOST_KNOWN + 10):
        rates.wait(str(number))
        wrong.note(str(number), b"x")
    assert len(rates._buckets) == len(wrong._tried) == MOST_KNOWN


def test_who_guesses_tokens_is_not_heard_for_a_while() -> None:
    """Different wrong ones count; the same again is an old setting of somebody's."""
    clock = Clock()
    wrong = WrongTokens(monotonic=clock)
    for _ in range(100):
        wrong.note("a", b"old")
    assert wrong.wait("a") == 0.0
    for number in range(WRONG_TOKENS):
        wrong.note("a", str(number).encode())
    assert wrong.wait("a") == WRONG_SECONDS
    assert wrong.wait("b") == 0.0
    clock.now = WRONG_SECONDS
    assert wrong.wait("a") == 0.0
    wrong.note("a", b"again")
    assert wrong.wait("a") == 0.0
