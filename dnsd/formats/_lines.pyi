from dnsd.formats.plain_lines import KnownParts, PlainRead

class Lines:
    def __new__(cls, known: KnownParts) -> Lines: ...
    def read(
        self, text: str, start: int, owner: bytes | None, default_ttl: int | None, last_ttl: int | None, /
    ) -> PlainRead: ...
