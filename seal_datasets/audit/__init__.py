"""One call from data to report; audits compared; training subsets."""
