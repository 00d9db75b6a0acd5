"""Use cases over the engine and the storage, one module each. No Dagster, no command line."""
