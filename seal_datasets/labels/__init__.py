"""What each response is like: features of texts."""
