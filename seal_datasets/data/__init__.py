"""Turn the rows of any source into canonical pairs."""
