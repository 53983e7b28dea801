"""The engine's own version, as it tells it over the wire and on the command line."""

VERSION = "0.1.0"
