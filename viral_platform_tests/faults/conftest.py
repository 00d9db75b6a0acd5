"""Of the drills."""

# It is a code location, which only its daemons can load.
collect_ignore = ["location.py"]
