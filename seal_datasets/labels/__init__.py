"""Features of each response."""
