#!/usr/bin/env python3
"""Writes src/text/unicode_tables.inc from tests/goldens/text/unicode_tables.json.

    tools/unicode/make_tables.py

The JSON says how the reference tokenizer behaves: classes of Unicode 16.0, NFC with data of Unicode 9.0. The engine
takes combining classes and decompositions from utf8proc, whose tables are younger; the lists written here say where
it must not listen to them, and which code points can change a text's NFC at all.
"""

import json
import pathlib
import unicodedata

ROOT = pathlib.Path(__file__).resolve().parents[2]
SOURCE = ROOT / "tests/goldens/text/unicode_tables.json"
TARGET = ROOT / "src/text/unicode_tables.inc"

# Composites of Unicode 16.0, which a newer utf8proc may know; the reference leaves them alone.
COMPOSITES_OF_16 = [
    0x105C9, 0x105E4, 0x11383, 0x11385, 0x1138E, 0x11391, 0x113C5, 0x113C7, 0x113C8,
    *range(0x16121, 0x16129), *range(0x16D68, 0x16D6B),
]  # fmt: skip


def ranges(code_points):
    """Sorted code points as inclusive ranges."""
    out = []
    for c in sorted(code_points):
        if out and out[-1][1] == c - 1:
            out[-1][1] = c
        else:
            out.append([c, c])
    return out


def table(name, comment, items):
    lines, line = [], ""
    for first, last in items:
        entry = f"{{{first:#x}, {last:#x}}},"
        if len(line) + len(entry) + 3 > 100:
            lines.append(line)
            line = ""
        line += (" " if line else "") + entry
    lines.append(line)
    body = "\n".join("    " + text for text in lines)
    return f"// {comment}\nconstexpr CodePointRange {name}[] = {{\n{body}\n}};\n"


def main():
    data = json.loads(SOURCE.read_text())
    late = set(data["late_marks"])
    pairs = {tuple(int(x, 16) for x in key.split("+")): to for key, to in data["nfc_pairs"].items()}
    # Second halves of composed pairs that are no marks with a class, and Hangul's vowels and final consonants.
    composing = {
        second
        for (_, second), to in pairs.items()
        if to is not None and (unicodedata.combining(chr(second)) == 0 or second in late)
    }
    composing |= set(range(0x1161, 0x1176)) | set(range(0x11A8, 0x11C3))
    young = set(COMPOSITES_OF_16)
    for (first, second), to in pairs.items():
        if to is None:
            young.add(ord(unicodedata.normalize("NFC", chr(first) + chr(second))))
    changing = {int(key, 16) for key in data["nfc_changes_single"]}
    parts = [
        "// Made by tools/unicode/make_tables.py from tests/goldens/text/unicode_tables.json; do not edit.\n"
        "// Inclusive ranges of code points.\n// clang-format off\n",
        table("kLetters", r"\p{L} of Unicode 16.0", data["L"]),
        table("kMarks", r"\p{M}", data["M"]),
        table("kNumbers", r"\p{N}", data["N"]),
        table("kWhiteSpace", r"\s", data["white_space"]),
        table("kLateMarks", "Marks younger than the reference's NFC data: combining class 0 there.", ranges(late)),
        table("kYoungComposites", "Composites younger than it: neither made nor taken apart.", ranges(young)),
        table("kChanging", "NFC of the character alone is another text.", ranges(changing)),
        table("kComposing", "Combining class 0, but may join the character before.", ranges(composing)),
        "// clang-format on\n",
    ]
    TARGET.write_text("\n".join(parts))
    print(f"{TARGET.relative_to(ROOT)}: {TARGET.stat().st_size} bytes")


if __name__ == "__main__":
    main()
