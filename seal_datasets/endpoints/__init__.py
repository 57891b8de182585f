"""Requests to model servers, kept and paid once."""
