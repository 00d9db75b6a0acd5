"""Logging and error reports, set up once per process at its edge."""
