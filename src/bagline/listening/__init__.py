"""Listening on a port: HTTP connections that no stranger can use up. For every port of ours."""
