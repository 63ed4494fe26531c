"""Programs that stand in for coding agents: they are called, talk and misbehave exactly so.

A stand-in checks the arguments that its original insists on, reads its prompt as the original
does, and then follows a script: what it prints, writes and does before and after.
"""

from __future__ import annotations

import sys
from pathlib import Path

SHELL = """\
#!{python}
import json, os, re, signal, subprocess, sys, threading
from pathlib import Path

def say(*lines):
    for line in lines:
        print(line if isinstance(line, str) else json.dumps(line), flush=True)

def hang():
    threading.Event().wait(600)

def need(*words):
    for word in words:
        if word not in sys.argv:
            sys.exit(f"error: no {{word}} in {{sys.argv[1:]}}")

def child(source):
    return subprocess.Popen([sys.executable, "-c", source])

def note(name, value):
    (Path(__file__).parent / name).write_text(str(value))

def option(name):
    return sys.argv[sys.argv.index(name) + 1]

if sys.argv[1:] in (["--version"], ["--help"]):
    print("stand-in 1.2.3")
    sys.exit(0)
{opening}
{script}
"""

CLAUDE = """\
need("-p", "--verbose")
assert option("--output-format") == "stream-json"
prompt = sys.stdin.read()
INIT = {"type": "system", "subtype": "init", "session_id": "c-1", "model": "claude-x", "cwd": "."}

def answer(text, *, tool=None, number=1, **more):
    content = [{"type": "text", "text": text}]
    if tool:
        content.append({"type": "tool_use", "id": "t", "name": tool, "input": {"path": "a.py"}})
    usage = {"input_tokens": 10, "cache_read_input_tokens": 90, "output_tokens": 5}
    return {"type": "assistant", "session_id": "c-1", "parent_tool_use_id": None, **more,
            "message": {"id": f"m-{number}", "model": "claude-x", "content": content,
                        "usage": usage}}

def result(text="Done.", **more):
    return {"type": "result", "subtype": "success", "is_error": False, "result": text,
            "session_id": "c-1", "num_turns": 2, "total_cost_usd": 0.25,
            "usage": {"input_tokens": 20, "cache_read_input_tokens": 180, "output_tokens": 10},
            **more}

def refusal(moment):
    return {"type": "rate_limit_event",
            "rate_limit_info": {"status": "rejected", "resetsAt": moment}}

WORK = [INIT, answer("I will write it.", tool="Write"), answer("Written.", number=2), result()]
"""

CODEX = """\
need("exec", "--json", "--skip-git-repo-check", "-")
assert option("--sandbox") in ("workspace-write", "read-only")
prompt = sys.stdin.read()

def item(kind, **more):
    return {"type": "item.completed", "item": {"id": "i", "type": kind, **more}}

BEGIN = [{"type": "thread.started", "thread_id": "th-1"}, {"type": "turn.started"}]
END = {"type": "turn.completed",
       "usage": {"input_tokens": 1000, "cached_input_tokens": 800, "output_tokens": 50}}
def failed(why):
    return {"type": "turn.failed", "error": {"message": why}}

WORK = [*BEGIN, item("file_change", changes=[{"path": "a.py", "kind": "add"}], status="completed"),
        item("agent_message", text="Done."), END]
"""

GEMINI = """\
assert option("--output-format") == "stream-json"
assert option("--approval-mode") in ("auto_edit", "default")
assert os.environ["GEMINI_CLI_TRUST_WORKSPACE"] == "true"
prompt = sys.stdin.read()
INIT = {"type": "init", "timestamp": "t", "session_id": "g-1", "model": "gemini-x"}

def piece(text):
    return {"type": "message", "timestamp": "t", "role": "assistant", "content": text,
            "delta": True}

def failed(why):
    return {"type": "result", "timestamp": "t", "status": "error",
            "error": {"type": "x", "message": why}}

END = {"type": "result", "timestamp": "t", "status": "success",
       "stats": {"total_tokens": 330, "input_tokens": 300, "output_tokens": 30, "cached": 0}}
WORK = [INIT, piece("I wr"), piece("ite."), {"type": "tool_use", "timestamp": "t",
        "tool_name": "write_file", "tool_id": "w", "parameters": {"file_path": "a.py"}},
        piece("Done."), END]
"""

OPENCODE = """\
need("run", "--print-logs")
assert option("--format") == "json"
prompt = sys.stdin.read()

def event(kind, **more):
    return {"type": kind, "timestamp": 1, "sessionID": "ses_1", **more}

def step(reason, cost=0.01):
    tokens = {"input": 100, "output": 10, "reasoning": 5, "cache": {"read": 50, "write": 0}}
    return event("step_finish", part={"type": "step-finish", "reason": reason, "cost": cost,
                                      "tokens": tokens})

WORK = [event("step_start", part={}),
        event("tool_use", part={"tool": "write", "state": {"input": {"filePath": "a.py"}}}),
        step("tool-calls"), event("step_start", part={}),
        event("text", part={"type": "text", "text": "Done."}), step("stop")]
"""

AIDER = """\
need("--yes-always", "--no-pretty", "--no-gitignore")
prompt = Path(option("--message-file")).read_text(encoding="utf-8")
LOG = next(a.split("=", 1)[1] for a in sys.argv if a.startswith("--analytics-log="))
Path(".aider.tags.cache.v4").mkdir()
Path(".aider.tags.cache.v4/x").write_text("x")

def sent(**figures):
    with open(LOG, "a") as log:
        log.write(json.dumps({"event": "message_send", "properties": figures}) + "\\n")

WORK = ["Aider v0.86.1", "Model: gpt-x with diff edit format", "", "I write it.", "",
        "Tokens: 2.3k sent, 136 received. Cost: $0.0073 message, $0.0073 session.",
        "Applied edit to a.py"]
"""

OPENINGS = {
    "claude": CLAUDE, "codex": CODEX, "gemini": GEMINI, "opencode": OPENCODE, "aider": AIDER,
}  # fmt: skip

DOES_ITS_WORK = """
Path("a.py").write_text(prompt, encoding="utf-8")
say(*WORK)
"""
"""A script that every stand-in can follow: a file, and what the original prints about it."""


def put(folder: Path, name: str, script: str) -> Path:
    """Write a stand-in for this program into a folder of the PATH.

    Args:
        folder: The folder.
        name: Name of the program.
        script: What it does, in Python; the opening of its kind offers the rest.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    text = SHELL.format(python=sys.executable, opening=OPENINGS[name], script=script)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)
    return path
