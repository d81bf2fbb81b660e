from dnsd.formats.plain_lines import KnownParts, PlainRows

class Lines:
    def __new__(cls, known: KnownParts) -> Lines: ...
    def read(
        self, text: str, start: int, owner: bytes | None, default_ttl: int | None, last_ttl: int | None, /
    ) -> tuple[int, bytes | None, int | None, PlainRows]: ...
