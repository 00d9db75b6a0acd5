"""Software-defined assets, one module for each group that the operator sees."""
