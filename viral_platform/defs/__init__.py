"""Dagster only: each definition is a few lines over a service."""
