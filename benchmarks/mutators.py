"""What a file may become: by a bad disk, a bad editor, or somebody who means harm. Bytes in, bytes out."""

from __future__ import annotations

import json
import random
import struct
import zlib
from collections.abc import Callable
from typing import Any

PLANT = "retina_planted"
"""Stands in everything that must never be imported, run, or opened."""

Mutator = Callable[[random.Random, bytes], bytes]

HOSTILE: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 10**12, 10**400, 1e308, -1e308, 0.5, "", " ", "0", [], {}, [[]], [None],
    "x" * 100_000, "é", "e\u0301", "\u202e", "\ud800", "\u0000", "\u001b]0;x\u0007", "a\nb", "眼底 1", "%s%n", "{0}",
    f"../{PLANT}", f"../../{PLANT}.png", f"/var/{PLANT}.png", f"..\\{PLANT}.png", f"C:\\{PLANT}", f"~/{PLANT}",
    f"file:///{PLANT}", f"//{PLANT}/x", ".", "..", ".hidden", "-rf", "con", "nul", f"{PLANT}:run", "os:system",
    f"__import__('{PLANT}')", f"!!python/object/apply:os.system ['{PLANT}']", f"c{PLANT}\nrun\n.", f"$({PLANT})",
    f"`{PLANT}`", {"__reduce__": ["os.system", PLANT]}, {"py/object": PLANT}, {"target": f"{PLANT}:run"},
    {"$tensor": PLANT, "stride": [0]}, {"$float": "0x1p99999"}, {"$dict": [[[], 0]]}, list(range(1000)),
)  # fmt: skip
"""Values that a reader may not expect in their place."""


def flip(rng: random.Random, content: bytes) -> bytes:
    """Change one to eight bytes."""
    changed = bytearray(content or b"\0")
    for _ in range(rng.randint(1, 8)):
        changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


def flip_early(rng: random.Random, content: bytes) -> bytes:
    """Change bytes of the first 200, where headers are."""
    return flip(rng, content[:200]) + content[200:]


def truncate(rng: random.Random, content: bytes) -> bytes:
    """Cut the end off."""
    return content[: rng.randrange(len(content) + 1)]


def insert(rng: random.Random, content: bytes) -> bytes:
    """Put random bytes in between."""
    place = rng.randrange(len(content) + 1)
    return content[:place] + rng.randbytes(rng.choice([1, 2, 7, 64, 4096])) + content[place:]


def zero_run(rng: random.Random, content: bytes) -> bytes:
    """Zero a stretch, as a disk that lost a block."""
    start = rng.randrange(len(content) + 1)
    end = min(len(content), start + rng.choice([1, 8, 64, 512, 4096]))
    return content[:start] + bytes(end - start) + content[end:]


def repeat(rng: random.Random, content: bytes) -> bytes:
    """Write a stretch twice."""
    start = rng.randrange(len(content) + 1)
    end = min(len(content), start + rng.choice([1, 16, 256, 5000]))
    return content[:end] + content[start:]


def replace_all(rng: random.Random, _: bytes) -> bytes:
    """Another file altogether: nothing, noise, text, a pickle that would run something, an archive."""
    pickle = f"c{PLANT}\nrun\n(S'x'\ntR.".encode()
    return rng.choice(
        [b"", b"\0" * 4096, rng.randbytes(999), b"text\n", b"\x80\x04" + pickle, pickle, b"PK\x03\x04"]
    )


def json_value(rng: random.Random, content: bytes) -> bytes:
    """Change one thing in a JSON document, or in one line of several."""
    lines = content.decode().splitlines(keepends=True)
    if len(lines) > 1 and lines[0].strip() in "{[":
        return _json_text(rng, content.decode()).encode("utf-8", "surrogatepass")
    place = rng.randrange(len(lines))
    lines[place] = _json_text(rng, lines[place]) + "\n"
    return "".join(lines).encode("utf-8", "surrogatepass")


def _json_text(rng: random.Random, text: str) -> str:
    value = json.loads(text)
    kind = rng.randrange(10)
    if kind == 0:
        return rng.choice(
            ["[" * 100_000, '{"a":' * 50_000, "9" * 10_000, '"' + "x" * 3_000_000 + '"', "NaN", "{} {}"]
        )
    if kind == 1:
        return text.rstrip()[:-1] + rng.choice(
            [', "schema": 1}', ', "name": "x", "name": "y"}', ", NaN}", ",}", "]"]
        )
    if kind == 2:
        return text.replace(
            rng.choice(['"', ":", ",", "{", "1"]), rng.choice(["'", "", "::", "\0", "Infinity"]), 1
        )
    holders = list(_holders(value))
    holder, key = rng.choice(holders)
    if kind == 3:
        del holder[key]
    elif kind == 4 and isinstance(holder, dict):
        holder[rng.choice([one for one in HOSTILE if isinstance(one, str)])] = holder.pop(key)
    elif kind == 5:
        holder[key] = [holder[key]]
    elif kind == 6:
        other, name = rng.choice(holders)
        holder[key] = json.loads(json.dumps(other[name]))
    elif kind == 7 and isinstance(holder[key], (int, float)):
        holder[key] = rng.choice(
            [-holder[key], holder[key] + 1, holder[key] * 2, holder[key] * 1000, str(holder[key])]
        )
    else:
        holder[key] = rng.choice(HOSTILE)
    return json.dumps(value)


def _holders(value: Any) -> list[tuple[Any, Any]]:
    """Every place of a JSON value that can be changed, as its holder and key."""
    waiting, found = [value], []
    while waiting:
        node = waiting.pop()
        entries = list(node.items()) if isinstance(node, dict) else list(enumerate(node))
        found += [(node, key) for key, _ in entries]
        waiting += [child for _, child in entries if isinstance(child, (dict, list)) and child]
    return found or [([None], 0)]


def text_value(rng: random.Random, content: bytes) -> bytes:
    """Change one word of a table or a TOML file."""
    text = content.decode()
    word = rng.choice([one for one in text.replace(",", " ").replace("\n", " ").split() if one])
    spite = [str(one) for one in HOSTILE if not isinstance(one, int) or one < 10**300]
    more = [
        '"',
        '""',
        ",,,,",
        ";",
        "\t",
        "\r",
        "\0",
        "[" * 5000,
        "'''",
        "nan",
        "inf",
        "1" * 5000,
        "2020-01-01",
        "[[x]]",
    ]
    return text.replace(word, rng.choice(spite + more), rng.choice([1, -1])).encode("utf-8", "surrogatepass")


def text_lines(rng: random.Random, content: bytes) -> bytes:
    """Lose, double or mix up lines, or write them as another program would."""
    lines = content.split(b"\n")
    kind = rng.randrange(6)
    if kind == 0:
        del lines[rng.randrange(len(lines))]
    elif kind == 1:
        lines.insert(rng.randrange(len(lines)), rng.choice(lines))
    elif kind == 2:
        rng.shuffle(lines)
    elif kind == 3:
        return content.decode().encode(rng.choice(["utf-16", "utf-32", "utf-8-sig", "utf-7"]))
    joint = rng.choice([b"\r\n", b"\r", b"\n\n", b"", b" ", b"\x85", b"\x00"]) if kind > 3 else b"\n"
    return joint.join(lines)


def safetensors_header(rng: random.Random, content: bytes) -> bytes:
    """Let the header lie about length, shapes, kinds or places."""
    size = struct.unpack("<Q", content[:8])[0]
    kind = rng.randrange(5)
    if kind == 0:
        lie = rng.choice([0, 1, size - 1, size + 1, 2**20, 2**32, 2**63, 2**64 - 1, rng.getrandbits(64)])
        return struct.pack("<Q", lie) + content[8:]
    header = json.loads(content[8 : 8 + size])
    name = rng.choice([key for key in header if key != "__metadata__"])
    entry = header[name]
    if kind == 1:
        entry["shape"] = rng.choice(
            [
                [10**12],
                [10**6, 10**6],
                [0, 10**12],
                [],
                [-1],
                [2**63],
                [2**32, 2**32],
                entry["shape"] * 2,
                ["1"],
                None,
            ]
        )
    elif kind == 2:
        entry["dtype"] = rng.choice(
            ["F64", "F16", "BF16", "I32", "I8", "U8", "BOOL", "F8_E4M3", "F4", "C64", "F128", "", 7]
        )
    elif kind == 3:
        entry["data_offsets"] = rng.choice(
            [[0, 0], [0, 10**12], [-4, 0], [8, 4], [1, 5], [0], None, [2**63, 2**64]]
        )
    else:
        return _packed(json.loads(_json_text(rng, json.dumps(header)) or "{}"), content[8 + size :])
    return _packed(header, content[8 + size :])


def safetensors_values(rng: random.Random, content: bytes) -> bytes:
    """Write values that are not finite, or huge, over some of a tensor's."""
    size = struct.unpack("<Q", content[:8])[0]
    start = 8 + size
    if len(content) - start < 8:
        return content
    place = start + rng.randrange((len(content) - start) // 4) * 4
    value = rng.choice([float("nan"), float("inf"), float("-inf"), 3e38, -3e38, 1e-45])
    return content[:place] + struct.pack("<f", value) + content[place + 4 :]


def _packed(header: Any, data: bytes) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def png_header(rng: random.Random, content: bytes) -> bytes:
    """Claim another size or kind of picture, with a checksum that is right."""
    width, height, depth, colour, *rest = struct.unpack(">IIBBBBB", content[16:29])
    sides = [0, 1, 2, 7, 9_999, 20_001, 60_000, 2**31 - 1, 2**32 - 1]
    changes = [(rng.choice(sides), height, depth, colour), (width, rng.choice(sides), depth, colour)]
    changes += [(width, height, rng.choice([1, 2, 4, 8, 16, 3]), rng.choice([0, 2, 3, 4, 6, 5]))]
    changes += [(rng.choice(sides), rng.choice(sides), depth, colour)]
    header = b"IHDR" + struct.pack(">IIBBBBB", *rng.choice(changes), *rest)
    return content[:12] + header + struct.pack(">I", zlib.crc32(header)) + content[33:]


def jpeg_header(rng: random.Random, content: bytes) -> bytes:
    """Claim another size in the frame's header, or change a marker."""
    place = next((content.find(mark) for mark in (b"\xff\xc0", b"\xff\xc2") if mark in content), -1)
    if place < 0 or rng.random() < 0.3:
        marks = [at for at in range(len(content) - 1) if content[at] == 0xFF]
        at = rng.choice(marks) + 1
        return content[:at] + rng.randbytes(1) + content[at + 1 :]
    sides = struct.pack(">HH", rng.choice([0, 1, 9_999, 65_535]), rng.choice([0, 1, 9_999, 65_535]))
    return content[: place + 5] + sides + content[place + 9 :]


BYTES: tuple[Mutator, ...] = (
    flip,
    flip,
    flip_early,
    flip_early,
    truncate,
    insert,
    zero_run,
    repeat,
    replace_all,
)


def mutators_of(name: str) -> tuple[Mutator, ...]:
    """What suits a file of this name."""
    ending = name.rpartition(".")[2]
    return {
        "json": (json_value,) * 24 + BYTES,
        "jsonl": (json_value,) * 18 + (text_lines,) * 6 + BYTES,
        "csv": (text_value,) * 12 + (text_lines,) * 6 + BYTES,
        "toml": (text_value,) * 16 + (text_lines,) * 4 + BYTES,
        "safetensors": (safetensors_header,) * 6 + (safetensors_values,) * 3 + BYTES,
        "png": (png_header,) * 5 + BYTES,
        "jpg": (jpeg_header,) * 5 + BYTES,
    }.get(ending, BYTES)
