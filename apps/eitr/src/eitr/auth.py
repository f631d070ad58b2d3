"""Who is asking: tokens are random, and only their hashes are kept."""

from __future__ import annotations

import hashlib
import secrets
import sqlite3

from eitr.store import Refused, Store


def hashed(token: str) -> bytes:
    # A token has 256 random bits: there is nothing to guess, so a fast hash is enough.
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()


def join(store: Store, consent: bool, invitation: str, expected: str) -> tuple[str, str]:
    """A new client's pseudonym and token."""
    if not consent:
        raise Refused(403, "nobody takes part without having agreed")
    if not secrets.compare_digest(invitation.encode("utf-8", "replace"), expected.encode()):
        raise Refused(403, "unknown invitation code")
    pseudonym, token = secrets.token_hex(8), secrets.token_urlsafe(32)
    store.add_client(pseudonym, hashed(token))
    return pseudonym, token


def client(store: Store, authorization: str | None) -> sqlite3.Row:
    scheme, _, token = (authorization or "").partition(" ")
    found = store.client(hashed(token)) if scheme.lower() == "bearer" and token else None
    if found is None:
        raise Refused(401, "a valid token is needed")
    return found
