"""Ids of review items that carry their own meaning, so that a sheet needs no register of what was exported."""

import base64
import binascii
import json
import zlib

from domain_embed.judgments.asked import Identity

MAX_BYTES = 1 << 24
"""Of an id's content; more was never encoded."""


def encode_id(query: str, passage_id: str) -> str:
    """Query and passage id in ASCII, with a checksum; some 40 characters and the compressed texts."""
    packed = zlib.compress(json.dumps([query, passage_id]).encode(), 9)
    return base64.b64encode(packed).decode().rstrip("=")  # no underscores: Excel has a meaning for "_x0041_"


def decode_id(item_id: str) -> Identity:
    """Query and passage id, exactly as they were encoded. Raises ValueError for an id that was changed."""
    try:
        packed = base64.b64decode(item_id + "=" * (-len(item_id) % 4), validate=True)
        unpacking = zlib.decompressobj()  # it verifies the checksum of the text
        content = json.loads(unpacking.decompress(packed, MAX_BYTES))
    except (binascii.Error, zlib.error, ValueError, RecursionError):
        raise ValueError(f"the id {item_id!r} was changed") from None
    match content:
        case [str(query), str(passage_id)] if unpacking.eof and not unpacking.unused_data:
            return query, passage_id
    raise ValueError(f"the id {item_id!r} was changed")
