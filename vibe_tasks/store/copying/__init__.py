"""Copying a ledger to another database while it is in use, and moving to it."""
