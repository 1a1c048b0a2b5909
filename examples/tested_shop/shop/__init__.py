"""A shop that does its slow work in jobs."""
