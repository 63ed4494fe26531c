"""What is taken out of texts, and that it takes no time."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vibe_tasks.masking import MASK
from vibe_tasks.redaction import KEY_LINES, OVERLAP, WINDOW, Lines, Redaction, checked_patterns

# Put together here, so that nobody who looks for secrets takes this file for a place of them.
TOKENS = {
    "github": "ghp_" + "a1B2" * 9,
    "github, fine": "github_pat_" + "a1B2_" * 12,
    "gitlab": "glpat-" + "a1B2" * 5,
    "openai": "sk-" + "proj-" + "a1B2" * 10,
    "anthropic": "sk-" + "ant-api03-" + "a1B2_" * 18,
    "stripe": "sk_live_" + "a1B2" * 6,
    "slack": "xoxb-" + "123456789012-" + "a1B2" * 6,
    "aws": "AKIA" + "A1B2" * 4,
    "google": "AIza" + "a1B2c3D" * 5,
    "npm": "npm_" + "a1B2" * 9,
    "pypi": "pypi-" + "a1B2_" * 12,
    "hugging face": "hf_" + "a1B2" * 9,
    "jwt": "eyJ" + "hbGciOiJI" + ".eyJ" + "zdWIiOiIx" + "." + "a1B2-_" * 5,
}
KEY = "\n".join(
    ["-----BEGIN RSA PRIVATE" + " KEY-----", *["MIIa1B2" * 9] * 20, "-----END RSA PRIVATE KEY-----"]
)


@pytest.mark.parametrize("token", TOKENS.values(), ids=TOKENS)
def test_tokens_of_known_shapes_go(token: str) -> None:
    """Wherever they stand, alone and in JSON; what stands around them stays."""
    plain = Redaction()
    assert plain.text(token) == MASK
    assert plain.text(f"push with {token}, please") == f"push with {MASK}, please"
    value = {"said": [f"TOKEN={token}", 7, None], "deep": {"a": (token,)}}
    assert plain.value(value) == {"said": [f"TOKEN={MASK}", 7, None], "deep": {"a": [MASK]}}
    assert plain.hinted(json.dumps(value))
    assert plain.hinted(token)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("Authorization: Bearer abc.DEF-123456789", f"Authorization: Bearer {MASK}"),
        ('{"authorization": "basic dXNlcjpwYXNz"}', f'{{"authorization": "basic {MASK}"}}'),
        ("BEARER 0123456789abcdef", f"BEARER {MASK}"),
        ("aws_secret_access_key = " + "a1B/" * 10, f"aws_secret_access_key = {MASK}"),
        ("postgresql://vibe:hunter2@db/vibe", f"postgresql://vibe:{MASK}@db/vibe"),
        ("redis://:hunter2@h and http://a/b", f"redis://:{MASK}@h and http://a/b"),
        (f"before\n{KEY}\nafter", f"before\n[{MASK} private key]\nafter"),
        (f"before\n{KEY[:500]}", f"before\n[{MASK} private key]"),
    ],
)
def test_headers_keys_and_addresses(text: str, left: str) -> None:
    """The secret goes, the word that says what it was stays."""
    assert Redaction().text(text) == left


@pytest.mark.parametrize(
    "text",
    [
        "the bearer authentication of the server", "task-1 of risk-averse-people-in-the-team",
        "see https://docs.example/a?x=1#b and mail ann@example.org", "sk-learn is scikit-learn",
        "-----BEGIN CERTIFICATE----- MII", "eyJust a word", "", "a" * 40, "0f" * 20,
    ],
)  # fmt: skip
def test_what_is_no_secret_stays(text: str) -> None:
    """Words that only look like the beginning of one."""
    assert Redaction().text(text) == text


def test_fields_whose_name_says_it() -> None:
    """A JSON value has the word and the secret apart."""
    value = {"headers": {"Proxy-Authorization": "Basic dXNlcjpwYXNz", "Accept": "Basic words"},
             "AWS_SECRET_ACCESS_KEY": "a1B/" * 10, "authorization": "basic"}  # fmt: skip
    assert Redaction().value(value) == {
        "headers": {"Proxy-Authorization": f"Basic {MASK}", "Accept": "Basic words"},
        "AWS_SECRET_ACCESS_KEY": MASK, "authorization": "basic",
    }  # fmt: skip
    assert Redaction().hinted(json.dumps(value))


def test_known_secrets_and_patterns() -> None:
    """The longest secret first; patterns of the setting besides; JSON's quoting hides none."""
    mine = Redaction(['pa"ss\\wörd', 'pa"ss\\wörd-and-more'], checked_patterns(r"ACME-\d{4} zz\w*"))
    assert mine.text('a pa"ss\\wörd-and-more b pa"ss\\wörd') == f"a {MASK} b {MASK}"
    assert Redaction(['pa"ss\\wörd']).hinted(json.dumps({"a": 'pa"ss\\wörd'}))
    assert mine.text("order ACME-1234 of zzTop") == f"order {MASK} of {MASK}"
    assert not Redaction(["other"]).hinted('{"a": "plain"}')


def test_a_key_that_comes_line_by_line() -> None:
    """No line of it is said; after its end all is said again, and one that never ends does not
    swallow what comes later.
    """
    redaction = Redaction()
    lines = Lines(redaction.text)
    said = [lines.line(each) for each in ("hello", *KEY.split("\n"), "goodbye")]
    assert said[0] == "hello"
    assert said[-1] == "goodbye"
    assert not any("MII" in each for each in said)
    unended = Lines(redaction.text)
    told = [unended.line(KEY.split("\n")[0]), *(unended.line("word") for _ in range(KEY_LINES + 1))]
    assert set(told[1:-1]) == {MASK}
    assert told[-1] == "word"
    assert lines.line(KEY.replace("\n", " ")) == f"[{MASK} private key]"
    assert lines.line("x") == "x"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("(a+)+b", "must not repeat"), (r"(?:ab|cd)*x", "must not repeat"),
        (r"\w*\w*\w*x", "must not repeat"), (r"(a)\1", "must not repeat"),
        (r"(?:[a-z]+-){3}", "must not repeat"), (r"(?>\w+)(?=\w*)", "must not repeat"),
        ("(", "no regular expression"), ("a*", "empty text"), ("x|", "empty text"),
        ("a" * 501, "at most 500 characters"), (" ".join(["a"] * 51), "at most 50 patterns"),
    ],
)  # fmt: skip
def test_a_pattern_that_may_take_for_ever_is_refused(text: str, why: str) -> None:
    """When the settings are read, with what is wrong with it."""
    with pytest.raises(ValueError, match=why):
        checked_patterns(text)


def test_patterns_that_are_taken() -> None:
    """One open repeat, alternatives, and repeats of a fixed number."""
    for each in (r"ACME-\d{4,8}", r"(?:foo|bar)-\w+", r"(?:\d{4}-){3}\d{4}", r"(?i)token=\S+",
                 r"(?<=key:)\w{8}", r"(?>ab)c+?"):  # fmt: skip
        assert checked_patterns(each) == (each,)
    assert checked_patterns("  a   b ") == ("a", "b")
    assert checked_patterns("") == ()


def test_a_pattern_finds_what_lies_across_two_windows() -> None:
    """Long texts are looked through in pieces that overlap; each find is taken out once."""
    mine = Redaction((), checked_patterns(r"S\d{10,60}E"))
    secret = "S" + "7" * 50 + "E"
    for place in (0, WINDOW - 30, WINDOW - OVERLAP - 10, 2 * (WINDOW - OVERLAP), 5 * WINDOW):
        text = "x" * place + secret + "y" * (6 * WINDOW - place) + secret
        assert mine.text(text) == "x" * place + MASK + "y" * (6 * WINDOW - place) + MASK
    assert mine.text("x" * (3 * WINDOW)) == "x" * (3 * WINDOW)


@settings(max_examples=40, deadline=None)
@given(st.text(), st.sampled_from(sorted(TOKENS.values())), st.text())
def test_no_token_survives(before: str, token: str, after: str) -> None:
    """Whatever stands around it, once a blank parts them; and to do it again changes nothing."""
    redaction = Redaction()
    left = redaction.text(f"{before} {token} {after}")
    assert token not in left
    assert redaction.text(left) == left


@pytest.mark.parametrize(
    "piece",
    ["sk-", "eyJ" + "a" * 50 + ".", "bearer ", "-----BEGIN PRIVATE KEY", "a://a:", "aws_secret",
     "ghp_aaaa", "authorization: ", "a.b+", "xoxb-", "eyJaaaaaaaaaa.eyJ", "_", "-"],
)  # fmt: skip
def test_hostile_texts_take_no_time(piece: str) -> None:
    """Half a million characters of what almost is a secret: minutes, were a search quadratic."""
    text = piece * (500_000 // len(piece)) + "@"
    Redaction().text(text)
