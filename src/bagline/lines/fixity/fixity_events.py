"""The PREMIS event of one look at a copy."""

from __future__ import annotations

from bagline.model.copy_checks import PROVEN, CopyCheck
from bagline.model.event_wording import OLDER
from bagline.model.named_uuids import named_uuid
from bagline.model.premis import PremisEvent, our_agent


def fixity_event(check: CopyCheck, *, is_older: bool = False) -> PremisEvent:
    """The event of one look (contract J1, J4): `Failed`, not `Failure`, is what the Registry's
    alerts look for. `outcome_information` names the copy."""
    copy, is_proven = check.copy, check.outcome == PROVEN
    tool = OLDER.digest_tool("sha256") if is_older else None
    sha256 = copy.digests.get("sha256", "")
    said = f"{copy.url}: " + ("Fixity matches" if is_proven else f"{check.outcome}: {check.detail}")
    if is_older and is_proven:
        said = f"Fixity matches at {copy.url}: {sha256}"
    return PremisEvent(
        identifier=named_uuid("fixity check", copy.url, check.asked_at),
        event_type="fixity check",
        date_time=check.asked_at,
        detail="Fixity check against registered hash",
        object=tool.object if tool else "Bagline fixity, SHA-256 of OpenSSL",
        agent=tool.agent if tool else our_agent(),
        outcome="Success" if is_proven else "Failed",
        outcome_detail=f"sha256:{sha256}",
        outcome_information=said,
        institution_id=copy.institution_id,
        intellectual_object_id=copy.object_id,
        generic_file_id=copy.file_id,
        generic_file_identifier=copy.identifier,
    )
