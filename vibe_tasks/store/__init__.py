"""The ledger. Touches SQL through SQLAlchemy and Alembic, nothing else."""
