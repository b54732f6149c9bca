"""The API, one module a noun: its routes, what they do, and what its records must be.

`table` has them all; `routing` says what a route is, `asking` what it is asked.
"""
