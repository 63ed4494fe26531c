"""Tests of the to-do list; run them with `python -m unittest`."""
