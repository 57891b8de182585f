"""The same response in other words."""
