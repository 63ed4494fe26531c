"""Tests that a desk and continuous integration leave out, because cheaper ones look at the same."""

from __future__ import annotations

import os

import pytest

FULL = bool(os.environ.get("VIBE_FULL"))
"""Whether everything is to be run, however long it takes."""

long = pytest.mark.skipif(not FULL, reason="takes long; VIBE_FULL=1 runs it")
"""For a test whose promise is also kept by a cheaper one, nearer to the code."""
