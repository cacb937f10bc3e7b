#!/usr/bin/env python3
"""Checks the direction of includes between the folders of src/ (docs/architecture.md has the picture).

A folder may include itself and what ALLOWED names: a folder, or single headers of it.
THIRD_PARTY names libraries and the files that may include them, one for each but where it says why.
Exit status 1 and one line a fault if something else is included, or a library that has no such place.
"""
import pathlib
import re
import sys

SRC = pathlib.Path(__file__).resolve().parent.parent / "src"

ENGINE_DOOR = ["engine/engine.h", "engine/request.h"]
ALLOWED = {
    "base": [],
    "tensor": ["base"],
    "kernels": ["base", "tensor"],
    "checkpoint": ["base", "tensor"],
    "text": ["base", "checkpoint/json.h", "checkpoint/gguf.h"],
    "media": ["base", "tensor"],
    "cache": ["base", "tensor"],
    "model": ["base", "tensor", "kernels", "checkpoint", "cache/views.h"],
    "engine": ["base", "tensor", "kernels", "checkpoint", "text", "media", "cache", "model"],
    "server": ["base", "text/chat_message.h", "text/chat_template.h", "checkpoint/json.h"] + ENGINE_DOOR,
    "cli": ["base", "server", "text/chat_message.h", "text/chat_template.h", "checkpoint/json.h", "media/load.h"] + ENGINE_DOOR,
}
# Commands that look inside (design: `debug` and `info` are the listed exceptions; bench and quantize read kernels and files).
EXCEPTIONS = {
    "cli/debug_": ["engine/conventions.h", "tensor", "kernels", "checkpoint", "text", "media", "model"],
    "cli/info.cpp": ["model/model.h", "engine/conventions.h"],
    "cli/bench": ["kernels", "engine", "cache", "model", "checkpoint", "tensor"],
    "cli/quantize.cpp": ["tensor", "kernels", "checkpoint", "model", "engine/conventions.h"],
    "cli/eval.cpp": ["engine", "model", "text", "checkpoint", "kernels"],
    "cli/pull.cpp": ["checkpoint"],
}
# The scheduler is pure: it knows no model, no cache, no kernel.
FORBIDDEN = {"engine/scheduler": ["model/", "cache/", "kernels/", "checkpoint/", "media/", "text/"]}
THIRD_PARTY = {
    r"simdjson": ["checkpoint/json.cpp"],
    r"prometheus/": ["server/metrics.cpp"],
    r"boost/": ["server/transport.cpp"],
    r"utf8proc": ["text/normalise.cpp"],
    r"curl/": ["checkpoint/download.cpp", "server/remote_media.cpp"],  # files to the disk; guarded fetches into memory
    r"CLI/": ["cli/main.cpp"],
    r"editline/": ["cli/line_reader.cpp"],
    r"spdlog/": ["base/log.cpp"],
    r"xxhash": ["base/hash.cpp"],
    r"jpeglib|jerror": ["media/jpeg.cpp"],
    r"png\.h": ["media/png.cpp"],
    r"webp/": ["media/webp.cpp"],
    r"immintrin|arm_neon|cpuid": ["kernels/", "base/"],
    r"fmt/|tl/": [""],  # the vocabulary of every file
}
# The standard library's headers have no ending; of the system's C headers those that are in use.
SYSTEM = re.compile(
    r"[a-z_]+$|(arpa|asm|netinet|sys)/|(fcntl|fnmatch|langinfo|malloc|poll|pthread|sched|signal|spawn|unistd)\.h$")
INCLUDE = re.compile(r'^\s*#\s*include\s+(?:"([^"]+)"|<([^>]+)>)')


def allowed(path, target):
    folder, other = path.split("/")[0], target.split("/")[0]
    for prefix, banned in FORBIDDEN.items():
        if path.startswith(prefix) and any(target.startswith(b) for b in banned):
            return False
    if other == folder:
        return True
    permits = list(ALLOWED[folder])
    for prefix, more in EXCEPTIONS.items():
        if path.startswith(prefix):
            permits += more
    return any(target == p or (p.count("/") == 0 and other == p) for p in permits)


def main():
    faults = []
    for file in sorted(SRC.rglob("*")):
        if file.suffix not in (".h", ".cpp", ".inc", ".inl", ".def"):
            continue
        path = file.relative_to(SRC).as_posix()
        for number, line in enumerate(file.read_text().splitlines(), 1):
            found = INCLUDE.match(line)
            if not found:
                continue
            ours, system = found.groups()
            if ours and "/" in ours and ours.split("/")[0] in ALLOWED and not allowed(path, ours):
                faults.append(f"src/{path}:{number}: {path.split('/')[0]}/ may not include {ours}")
            if not system:
                continue
            users = next((users for pattern, users in THIRD_PARTY.items() if re.match(pattern, system)), None)
            if users is None and not SYSTEM.match(system):
                faults.append(f"src/{path}:{number}: <{system}> is of a library that has no place in THIRD_PARTY")
            if users is not None and not any(path.startswith(u) for u in users):
                faults.append(f"src/{path}:{number}: <{system}> belongs in {', '.join(users)}")
    for fault in faults:
        print(fault)
    print(f"check_includes: {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
