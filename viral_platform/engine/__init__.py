"""The domain: pure functions and value types.

What belongs here takes values and returns values. What does not: Dagster, SQL, HTTP, files,
a clock of its own. `setup.cfg` holds the import contract.
"""
