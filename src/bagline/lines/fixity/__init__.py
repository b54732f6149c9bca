"""Fixity: every preserved copy read again and digested, on a schedule, and mended."""
