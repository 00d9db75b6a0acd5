"""Alembic migrations of schema `app`."""
