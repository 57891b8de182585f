"""From an audit's table to numbers, and from numbers to pages."""
