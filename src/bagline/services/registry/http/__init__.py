"""The Registry behind the REST API of contract D: Bagline's own server, or another's."""
