"""Asking S3 to bring an object back from an archive class (POST ?restore, contract J1)."""

from __future__ import annotations

from botocore.exceptions import ClientError

from bagline.services.objects.connection import Connection
from bagline.services.objects.frost import ThawAnswer

_ANSWERS = {
    "RestoreAlreadyInProgress": ThawAnswer.UNDER_WAY,
    "InvalidObjectState": ThawAnswer.NOT_ARCHIVED,
    "GlacierExpeditedRetrievalNotAvailable": ThawAnswer.LATER,
}
"""Refusals that are none, by S3's code."""
ALREADY_BACK = 200
"""A thaw that begins is 202."""


class Thawer:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def thaw(self, bucket: str, key: str, days: int, tier: str) -> ThawAnswer:
        """Raises Gone, Unreachable (other 409s, 5xx), or Refused."""
        request = {"Days": days, "GlacierJobParameters": {"Tier": tier}}
        with self._connection.asking("bring back", bucket, key):
            try:
                answer = self._connection.boto.restore_object(
                    Bucket=bucket, Key=key, RestoreRequest=request
                )
            except ClientError as fault:
                said = _ANSWERS.get(str(fault.response.get("Error", {}).get("Code", "")))
                if said is None:
                    raise
                return said
        status = answer["ResponseMetadata"]["HTTPStatusCode"]
        return ThawAnswer.BACK if status == ALREADY_BACK else ThawAnswer.ACCEPTED
