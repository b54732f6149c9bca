"""Bagline's workers under the older system's names and settings (contract A and C)."""
