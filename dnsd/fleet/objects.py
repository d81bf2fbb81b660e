"""The accounts' files as objects of a fleet: a file is one value; a large one is the list of its blocks, and they.

A block is an object of its own, at a subject that ends with its digest. A commit brings new blocks before the list that
names them, and removes others after it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TypeAlias

from dnsd.errors import Place, Problem
from dnsd.fleet.subjects import ObjectName, account_of_subject, block_prefix, object_subject
from dnsd.fleet.values import MAX_FILE, FleetFile, LaterValueError, ValueFormatError, pack_value, parse_value
from dnsd.fleet.writer import ObjectWrite
from dnsd.store.blocks import DIGEST_SIZE, TextBlock, digest_of, text_block
from dnsd.store.directory import NO_CONTENT, FileKind, SourceFile, path_of
from dnsd.store.kept_file import DamagedFileError
from dnsd.store.text_file import MAX_KEPT, Content, NotTextError, stored_content

ROOT = "fleet"  # the folder in the paths of files, which are on no disk

ValueOf: TypeAlias = Callable[[str, str], bytes | None]  # the value of an object, by account and subject


def source_file(name: ObjectName, value: bytes, value_of: ValueOf) -> SourceFile:
    """The file in an object's value; `value_of` gives its blocks when it is read. If it is unusable, it says why."""
    key, kind = name
    path = path_of(ROOT, key, kind)
    try:
        found = parse_value(value)
        content = _content(name, found, value_of)
        return SourceFile(key, kind, path, content, modified=found.modified)
    except LaterValueError as error:
        message, place = f"{error}: upgrade this node", Place(path, 1, 1)
    except ValueFormatError as error:
        message, place = str(error), Place(path, 1, 1)
    except NotTextError as error:
        message, place = str(error), Place(path, error.line, error.column)
    return SourceFile(key, kind, path, NO_CONTENT, Problem(key, (), message, place=place))


def removal(file: SourceFile, old_of: ValueOf) -> Iterator[ObjectWrite]:
    """The writes that remove a file; `old_of` gives the values that are there."""
    subject = object_subject(file.key, file.kind)
    yield ObjectWrite(subject, old_of(account_of_subject(subject), subject), None)
    yield from _removed_blocks(file, _list_of(file), old_of)


def replacement(file: SourceFile, before: SourceFile | None, old_of: ValueOf) -> Iterator[ObjectWrite]:
    """The writes that put a file in the place of the object's file before, of the same kind, if there is one.

    Raises FileChangedError if the file differs now, and ValueFormatError if it is too large for a fleet.
    """
    subject = object_subject(file.key, file.kind)
    new, old = _list_of(file), _list_of(before)
    if new:
        read, prefix, known = file.block_reader(), block_prefix(file.key, file.kind), set(old)
        for number, block in enumerate(new):
            if block not in known:
                known.add(block)
                octets = pack_value(FleetFile(read(number), 0))
                yield _write(prefix + block.digest.hex(), octets, old_of)
        value = pack_value(FleetFile(_packed_list(file, new), file.modified, is_list=True))
    else:
        value = pack_value(
            FleetFile(b"".join(map(file.block_reader(), range(len(file.content.blocks)))), file.modified)
        )
    yield _write(subject, value, old_of)
    if before:
        yield from _removed_blocks(before, [block for block in old if block not in {*new}], old_of)


def block_subjects(file: SourceFile) -> Iterator[str]:
    """The subjects of the blocks in which a file travels; none of a small one."""
    blocks = _list_of(file)
    prefix = block_prefix(file.key, file.kind) if blocks else ""
    return (prefix + block.digest.hex() for block in blocks)


def _write(subject: str, value: bytes | None, old_of: ValueOf) -> ObjectWrite:
    return ObjectWrite(subject, old_of(account_of_subject(subject), subject), value)


def _removed_blocks(file: SourceFile, blocks: list[TextBlock], old_of: ValueOf) -> Iterator[ObjectWrite]:
    for block in dict.fromkeys(blocks):
        yield _write(block_prefix(file.key, file.kind) + block.digest.hex(), None, old_of)


def _list_of(file: SourceFile | None) -> list[TextBlock]:
    """The blocks in which a file travels; none if it is small."""
    return [*file.content.blocks] if file and file.content.size > MAX_KEPT else []


def _packed_list(file: SourceFile, blocks: list[TextBlock]) -> bytes:
    packed = "".join(f"{block.digest.hex()} {block.size}\n" for block in blocks).encode()
    if len(packed) > MAX_FILE:
        raise ValueFormatError(f"{file.path} has {file.content.size:,} octets, too many for a fleet: divide the zone")
    return packed


def _content(name: ObjectName, found: FleetFile, value_of: ValueOf) -> Content:
    """The content of a file. Raises NotTextError and, for a list of blocks that is none, ValueFormatError."""
    if found.is_list:
        prefix = block_prefix(*name)
        read = partial(_block, account_of_subject(prefix[:-1]), prefix, value_of)
        blocks = tuple(map(_parsed_block, found.octets.splitlines()))
        return Content(digest_of(blocks), None, blocks, read)
    if len(found.octets) > MAX_KEPT:
        raise ValueFormatError(f"a file of {len(found.octets):,} octets is not in blocks")
    any_octets, block = name.kind is FileKind.ZONE_MASTER, text_block(found.octets)
    content = stored_content((block,) if found.octets else (), lambda _: found.octets, any_octets=any_octets)
    return Content(content.digest, content.text, content.blocks)


def _block(account: str, prefix: str, value_of: ValueOf, block: TextBlock) -> bytes:
    """The octets of a block. Raises DamagedFileError if the copy does not have it, or has another one."""
    value = value_of(account, prefix + block.digest.hex())
    try:
        octets = parse_value(value).octets if value is not None else b""
    except (ValueFormatError, LaterValueError) as error:
        raise DamagedFileError(f"the block {block.digest.hex()}: {error}") from None
    if text_block(octets) != block:
        raise DamagedFileError(f"the copy of the fleet's state has no block {block.digest.hex()}")
    return octets


def _parsed_block(line: bytes) -> TextBlock:
    digest, _, size = line.partition(b" ")
    try:
        block = TextBlock(bytes.fromhex(digest.decode("ascii")), int(size))
    except ValueError:
        raise ValueFormatError("the value's list of blocks is damaged") from None
    if len(block.digest) != DIGEST_SIZE or block.size < 1:
        raise ValueFormatError("the value's list of blocks is damaged")
    return block
