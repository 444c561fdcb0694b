"""Ratios to well-known tools, both sides in one run: `make bench`."""
