"""Deletion: what two people agreed on goes, and a certificate says so."""
