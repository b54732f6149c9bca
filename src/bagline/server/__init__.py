"""The Registry's REST API (contract D), served from the SQL Registry."""
