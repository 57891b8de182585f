"""Rows of any source become canonical pairs."""
