"""The older line, as far as contract A to G tells of it: nine workers that do to Redis, S3 and the
Registry what theirs do, and no more. They call nothing of Bagline."""

from __future__ import annotations

from support.older.intake import pre_fetch, reingest_check, validate
from support.older.moving import clean_up, identify_formats, preserve, stage_files, verify
from support.older.recording import record
from support.older.world import Work

STAGES: dict[str, tuple[str, Work]] = {
    "pre-fetch": ("Receive", pre_fetch),
    "validator": ("Validate", validate),
    "reingest-manager": ("Reingest Check", reingest_check),
    "staging-uploader": ("Copy To Staging", stage_files),
    "format-identifier": ("Format Identification", identify_formats),
    "preservation-uploader": ("Store", preserve),
    "preservation-verifier": ("Storage Validation", verify),
    "recorder": ("Record", record),
    "cleanup": ("Cleanup", clean_up),
}
"""By the name of Bagline's step: the stage at which the worker takes an item, and its work."""
