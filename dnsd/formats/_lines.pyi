from dnsd.formats.plain_lines import KnownParts
from dnsd.model.records import Identity

class Lines:
    def __new__(
        cls, known: KnownParts, owners: list[bytes], rdatas: list[bytes], identities: dict[int, Identity]
    ) -> Lines: ...
    def read(
        self, text: str, start: int, owner: bytes | None, default_ttl: int | None, last_ttl: int | None, /
    ) -> tuple[int, bytes | None, int | None, bytes]: ...
