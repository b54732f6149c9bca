"""What the two S3 clients raise, as one of our errors, by what the caller can do."""

from __future__ import annotations

import re
from dataclasses import dataclass

import obstore.exceptions
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    NoCredentialsError,
    ParamValidationError,
)

from bagline.errors import (
    BaglineError,
    BrokenState,
    Gone,
    ProofFailed,
    Refused,
    Replaced,
    SlowDown,
    Unreachable,
)
from bagline.services.objects.heads import RequestFailed

_PAST_THE_END = "Range specified is not valid for source object"
"""So AWS and versitygw say it of a copy, with the code of any wrong argument."""
_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>([^<]{1,80})</Code>")

NO_ENTRY_CODES = frozenset({"InvalidAccessKeyId", "SignatureDoesNotMatch", "XAdminUserNotFound"})
"""The credentials are wrong, whatever the status (versitygw says 404 for an unknown key)."""
EXPIRED = "ExpiredToken"
MISSING_BUCKET = "NoSuchBucket"
MISSING_KEY = "NoSuchKey"
_PASSING_STATUS = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 507, 509})
_PASSING_CODES = frozenset(
    {
        "BadDigest",  # damaged on the way: what was sent is not what arrived
        "ChecksumMismatch",
        "InvalidDigest",
        "IncompleteBody",
        "InternalError",
        "NoSuchUpload",  # it ran out, or was swept: the whole copy is begun again
        "OperationAborted",
        "RequestTimeout",
        "ServiceUnavailable",
        "SlowDown",
        "Throttling",
        "XAmzContentChecksumMismatch",
        "XAmzContentSHA256Mismatch",
    }
)
_BUSY_STATUS = frozenset({429, 503, 509})
_BUSY_CODES = frozenset({"ServiceUnavailable", "SlowDown", "Throttling"})


@dataclass(frozen=True)
class Fault:
    """What is known of a failed request. `status` 0: no answer came."""

    status: int
    code: str
    detail: str = ""


def is_client_panic(error: BaseException) -> bool:
    """obstore's panics are no Exceptions; they must not pass for a stop of the process."""
    return type(error).__name__ in {"PanicException", "RustPanic"}


def fault_of(error: BaseException) -> Fault | None:
    """None when the error is not one of the clients' at all."""
    if isinstance(error, ClientError):
        answer = error.response
        status = int(answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        said = answer.get("Error", {})
        if str(said.get("Message", "")).startswith(_PAST_THE_END):
            return Fault(status, "InvalidRange")
        return Fault(status, str(said.get("Code", "")))
    if isinstance(error, RequestFailed):
        return Fault(error.status, error.code)
    if isinstance(error, NoCredentialsError):
        return Fault(403, "NoCredentials")
    if isinstance(error, ParamValidationError):
        return Fault(400, "InvalidArgument", str(error))
    if isinstance(error, BotoCoreError):
        return Fault(0, type(error).__name__)
    if isinstance(error, obstore.exceptions.PreconditionError):
        return Fault(412, "PreconditionFailed")
    if isinstance(error, FileNotFoundError | obstore.exceptions.BaseError):
        return _from_text(error)
    if is_client_panic(error):
        return Fault(400, "ClientPanic", str(error)[:200])
    if isinstance(error, OSError):
        return Fault(0, type(error).__name__, str(error)[:200])
    return None


def _from_text(error: BaseException) -> Fault:
    """obstore tells status and code only in its text."""
    text = str(error)
    status, code = _STATUS.search(text), _CODE.search(text)
    if status:
        return Fault(int(status[1]), code[1] if code else "")
    if isinstance(error, FileNotFoundError):
        return Fault(404, "")
    if isinstance(error, obstore.exceptions.PermissionDeniedError):
        return Fault(403, "")
    if isinstance(error, obstore.exceptions.UnauthenticatedError):
        return Fault(401, "")
    return Fault(0, _how_it_broke(text))


def _how_it_broke(text: str) -> str:
    for sign, words in (
        ("ConnectError", "no connection"),
        ("kind: Connect", "no connection"),
        ("TimedOut", "silent for too long"),
        ("Timeout", "silent for too long"),
    ):
        if sign in text:
            return words
    return "the connection broke"


def is_about_keys(fault: Fault) -> bool:
    """Whether other keys might be let in."""
    return fault.status in (401, 403) or fault.code in NO_ENTRY_CODES or fault.code == EXPIRED


def classify(fault: Fault, what: str, *, bucket_exists: bool = True) -> BaglineError:
    """Our error. `what` names action, bucket and key. A 404 without a code needs to know
    whether the bucket exists (`bucket_exists`)."""
    parts = (str(fault.status or ""), fault.code, fault.detail)  # boto3 may repeat the status
    said = " ".join(dict.fromkeys(part for part in parts if part))
    status, code = fault.status, fault.code
    if code in _BUSY_CODES or status in _BUSY_STATUS:
        return SlowDown(f"{what}: {said}")
    if status == 0 or code in _PASSING_CODES or (status in _PASSING_STATUS):
        return Unreachable(f"{what}: {said or 'no answer'}")
    if code in NO_ENTRY_CODES:
        return Refused(f"{what}: the store refuses ({said}); look at credentials and policy")
    if status == 412:
        return Replaced(f"{what}: another version of the object stands there")
    if code == MISSING_BUCKET or (status == 404 and not bucket_exists):
        return Refused(f"{what}: there is no such bucket; make it, or mend the setting")
    if status == 404:
        return Gone(f"{what}: there is no such object")
    if status == 416 or code == "InvalidRange":
        return BrokenState(f"{what}: the object is shorter than the range asked for")
    if code == "RequestTimeTooSkewed":
        return Refused(f"{what}: this machine's clock is wrong ({said})")
    return Refused(f"{what}: the store refuses ({said}); look at credentials and policy")


GRAVITY = (Unreachable, Gone, Replaced, ProofFailed, BrokenState, Refused)
"""From the least to the gravest; what is not named here is graver still."""


def gravest(errors: list[BaseException]) -> BaseException:
    """The one to raise of many: that which a repeat cures least."""
    return max(errors, key=_gravity)


def _gravity(error: BaseException) -> int:
    ranks = (rank for rank, kind in enumerate(GRAVITY) if isinstance(error, kind))
    return next(ranks, len(GRAVITY))
