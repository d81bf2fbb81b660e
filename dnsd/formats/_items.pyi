from dnsd.formats.plain_items import PlainItems
from dnsd.model.records import Identity

def read(
    plain: PlainItems,
    owners: list[bytes],
    rdatas: list[bytes],
    identities: dict[int, Identity],
    text: str,
    start: int,
    end: int,
    column: int,
    zone_name: bytes,
    zone_text: str,
    /,
) -> tuple[int, bytes]: ...
