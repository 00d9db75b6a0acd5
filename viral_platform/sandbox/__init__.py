"""Local stand-ins for the outside world: simulated data, labelled as such wherever it is shown."""
