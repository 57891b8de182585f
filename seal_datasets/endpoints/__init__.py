"""Requests to model servers; every response is stored and paid for once."""
