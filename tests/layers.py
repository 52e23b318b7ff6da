#!/usr/bin/env python3
"""Holds the folders to their order (docs/ARCHITECTURE.md): base <- policy <- proto <- {controller, node, cli}.

    tests/layers.py SOURCE_DIRECTORY [BUILD_DIRECTORY]
    tests/layers.py --self-test

Checks what every file includes, what policy calls, how long files are and, given a build directory, what every
target links. Prints one line per violation, FILE:LINE: RULE, and exits 1 when there is one.
"""
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

# What each area may include and link, besides itself. The most specific area of a path counts.
MAY_USE = {
    "base": set(),
    "policy": {"base"},
    "proto": {"base", "policy"},
    "ebpf": set(),
    "node/filter": {"base", "policy", "ebpf"},
    "node": {"base", "policy", "proto", "node/filter"},
    "controller": {"base", "policy", "proto"},
    "cli": {"base", "policy", "proto", "node/filter"},
}
# Targets of CMakeLists.txt, by the area they belong to.
TARGETS = {
    "cordon_base": "base", "cordon_boost": "base", "cordon_policy": "policy", "cordon_proto": "proto", "cordon_pb": "proto",
    "cordon_ebpf": "ebpf", "cordon_filter": "node/filter", "cordon_replay": "node/filter", "cordon_node_lib": "node", "cordon-node": "node",
    "cordon_controller_lib": "controller", "cordon-controller": "controller", "cordon_cli": "cli", "cordon": "cli",
}
# policy/ is pure: the same input gives the same answer, with no file, clock, thread or socket in between.
IMPURE_HEADERS = re.compile(
    r"<(fstream|iostream|filesystem|thread|mutex|shared_mutex|atomic|condition_variable|future|semaphore|random"
    r"|unistd\.h|fcntl\.h|netdb\.h|poll\.h|pthread\.h|time\.h|sys/.*|netinet/.*|arpa/.*|linux/.*|boost/asio.*"
    r"|boost/beast.*|openssl/.*|sodium\.h)>|\"base/(log|crypto)\.h\"")
IMPURE_CALLS = re.compile(
    r"\b(system_clock|steady_clock|high_resolution_clock|tai_clock|file_clock)\s*(::\s*now\b|\(\s*\))"
    r"|(?<![\w.>])(clock_gettime|gettimeofday|getenv|secure_getenv|random_bytes|read_file|write_file"
    r"|read_policy_directory)\s*\(|\bstd::(time|clock|rand|cout|cerr|clog|ifstream|ofstream)\b")
INCLUDE = re.compile(r"^\s*#\s*(?:include|include_next)\s*([\"<])([^\">]+)[\">]")
SOURCES = {".cpp", ".h", ".c", ".hpp", ".cc"}
LONGEST_FILE = 500


def area_of(path):
    """The area that a path relative to the root belongs to, or None."""
    parts = path.split("/")
    for length in (2, 1):
        name = "/".join(parts[:length])
        if len(parts) > length and name in MAY_USE:
            return name
    return None


def without_comments(text):
    """The same lines with comments and the insides of strings blanked out."""
    def blank(match):
        found = match.group(0)
        if found[0] == '"':
            return '""'
        return "\n" * found.count("\n")
    return re.sub(r"//[^\n]*|/\*.*?\*/|\"(?:\\.|[^\"\\\n])*\"", blank, text, flags=re.S)


def check_include(area, path, included):
    """The rule that this include breaks, or None."""
    if included.startswith(".."):
        return "includes are written from the root of the repository"
    target = area_of(included)
    if target is None:
        return None
    if target == "ebpf" and area != "ebpf":
        if area != "node/filter":
            return f"'{included}': only node/filter shares headers with ebpf"
        if included != "ebpf/abi.h" and not included.endswith(".skel.h"):
            return f"'{included}': node/filter shares ebpf/abi.h and the generated skeletons alone"
    if target != area and target not in MAY_USE[area]:
        return f"'{included}': {area} may not include {target}"
    return None


def check_file(root, path, area):
    """Yields (line, rule) for one file."""
    text = (root / path).read_text(encoding="utf-8", errors="replace")
    lines = text.splitlines()
    if len(lines) > LONGEST_FILE:
        yield len(lines), f"{len(lines)} lines: a file has {LONGEST_FILE} at the very most"
    for number, line in enumerate(lines, 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        rule = check_include(area, path, match.group(2))
        if rule:
            yield number, rule
        if area == "policy":
            impure = IMPURE_HEADERS.search(line)
            if impure:
                yield number, f"{impure.group(0)}: policy does no I/O and has no clock, threads or locks"
    if area == "policy":
        own = set(re.findall(r"^[A-Za-z_][\w:<>&* ]*[ &*](\w+)\(", text, flags=re.M))  # functions of its own
        for number, line in enumerate(without_comments(text).splitlines(), 1):
            call = IMPURE_CALLS.search(line)
            if call and call.group(3) not in own:
                yield number, f"'{call.group(0).strip()}': policy reads no clock, file or environment; pass it in"


def check_sources(root):
    """Violations of the tree as lines of text."""
    out = []
    for top in sorted({area.split("/")[0] for area in MAY_USE}):
        for file in sorted((root / top).rglob("*")):
            if file.suffix not in SOURCES or not file.is_file():
                continue
            path = file.relative_to(root).as_posix()
            out += [f"{path}:{line}: {rule}" for line, rule in check_file(root, path, area_of(path))]
    return out


def parse_graph(text):
    """{target: {targets it links}} of cmake --graphviz's output."""
    names = dict(re.findall(r'"(node\d+)" \[ label = "([^"\\]+)', text))
    links = {}
    for source, target in re.findall(r'"(node\d+)" -> "(node\d+)"', text):
        if source in names and target in names:
            links.setdefault(names[source], set()).add(names[target])
    return links


def check_links(links):
    """Violations of the link graph. Indirect ones are caught at the step where they break the order."""
    out = []
    for target, linked in sorted(links.items()):
        area = TARGETS.get(target)
        for other in sorted(linked):
            used = TARGETS.get(other)
            if area and used and used != area and used not in MAY_USE[area]:
                out.append(f"CMakeLists.txt of {area}:1: {target} links {other}: {area} may not link {used}")
    return out


def graph_of(root, build):
    """The link graph as CMake has it, read from a configuration of its own that builds nothing."""
    cache = (build / "CMakeCache.txt").read_text(encoding="utf-8", errors="replace")
    kept = re.findall(r"^((?:CMAKE_(?:C|CXX)_COMPILER|CMAKE_BUILD_TYPE|CORDON_\w+)):\w+=(.*)$", cache, flags=re.M)
    with tempfile.TemporaryDirectory(prefix="cordon-layers-") as scratch:
        dot = Path(scratch) / "links.dot"
        command = ["cmake", "-S", str(root), "-B", f"{scratch}/build", "-G", "Ninja", f"--graphviz={dot}"]
        done = subprocess.run(command + [f"-D{name}={value}" for name, value in kept], capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"layers: cmake can't configure: {done.stderr[-2000:]}")
        return parse_graph(dot.read_text(encoding="utf-8"))


def self_test():
    """Every rule must find its violation in a bad tree, and nothing in a good one."""
    bad = {
        "base/a.h": ('#include "policy/model.h"\n', 1, "base may not include policy"),
        "policy/b.cpp": ('\n#include "proto/frame.h"\n', 2, "policy may not include proto"),
        "policy/io.cpp": ("#include <fstream>\n", 1, "no clock, threads"),
        "policy/lock.cpp": ("#include <mutex>\n", 1, "no clock, threads"),
        "policy/socket.cpp": ("#include <sys/socket.h>\n", 1, "no clock, threads"),
        "policy/clock.cpp": ("int a;\nauto t = std::chrono::system_clock::now();\n", 2, "reads no clock"),
        "policy/own_clock.cpp": ("auto t = system_clock().now();\n", 1, "reads no clock"),
        "policy/file.cpp": ("auto t = cordon::read_file(name);\n", 1, "reads no clock"),
        "proto/c.h": ('# include "node/link/link.h"\n', 1, "proto may not include node"),
        "node/link/d.cpp": ('#include "controller/log/record.h"\n', 1, "node may not include controller"),
        "node/agent/e.cpp": ('#include "ebpf/abi.h"\n', 1, "only node/filter"),
        "node/filter/f.cpp": ('#include "proto/codec.h"\n', 1, "node/filter may not include proto"),
        "node/filter/g.cpp": ('#include "ebpf/decide.bpf.h"\n', 1, "abi.h and the generated"),
        "controller/api/h.cpp": ('#include "node/filter/filter.h"\n', 1, "controller may not include node/filter"),
        "controller/api/i.cpp": ('#include "../pki/authority.h"\n', 1, "from the root"),
        "cli/j.cpp": ('#include "node/agent/agent.h"\n', 1, "cli may not include node"),
        "cli/k.cpp": ('#include "controller/log/record.h"\n', 1, "cli may not include controller"),
        "ebpf/l.bpf.c": ('#include "base/address.h"\n', 1, "ebpf may not include base"),
        "base/long.cpp": ("\n" * 501, 501, "at the very most"),
    }
    good = {
        "policy/own.cpp": "void read_file(const SourceFile& f) {}\nvoid g() { read_file(f); }\n",
        "policy/m.cpp": '#include "base/files.h"\n// system_clock::now() is not called\nauto s = "std::cout";\n'
                        "Timestamp t = clock.now(); auto d = std::chrono::seconds(1);\n",
        "node/filter/n.cpp": '#include "ebpf/abi.h"\n#include "ebpf/cordon.skel.h"\n#include "policy/node_state.h"\n',
        "cli/o.cpp": '#include "node/filter/filter.h"\n#include "proto/frame.h"\n#include <fstream>\n',
        "node/agent/p.cpp": '#include "node/filter/filter.h"\n#include "node/link/link.h"\n#include <thread>\n',
        "controller/q.cpp": '#include "controller/log/record.h"\n',
        "ebpf/r.bpf.c": '#include "ebpf/abi.h"\n',
        "base/exact.cpp": "\n" * 500,
    }
    with tempfile.TemporaryDirectory(prefix="cordon-layers-") as scratch:
        root = Path(scratch)
        for path, text in {**{p: case[0] for p, case in bad.items()}, **good}.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text)
        found = check_sources(root)
        failures = [f"not found: {path}:{line} ({rule})" for path, (_, line, rule) in bad.items()
                    if not any(f.startswith(f"{path}:{line}: ") and rule in f for f in found)]
        failures += [f"found without cause: {f}" for f in found if f.split(":")[0] not in bad]
        done = subprocess.run([sys.executable, os.path.abspath(__file__), scratch], capture_output=True, text=True)
        if done.returncode != 1 or "base/a.h:1: " not in done.stdout:
            failures.append("a bad tree must exit 1 and print the place")
    graph = parse_graph('"node0" [ label = "cordon_base", shape = octagon ];\n'
                        '"node1" [ label = "cordon_proto\\n(alias)", shape = octagon ];\n'
                        '"node2" [ label = "fmt::fmt", shape = septagon ];\n'
                        '"node0" -> "node1" [ style = dotted ] // a -> b\n"node0" -> "node2"\n"node1" -> "node0"\n')
    if graph != {"cordon_base": {"cordon_proto", "fmt::fmt"}, "cordon_proto": {"cordon_base"}}:
        failures.append(f"the graph was read as {graph}")
    if [v for v in check_links(graph) if "cordon_base links cordon_proto" not in v] or not check_links(graph):
        failures.append("a link against the order was not found, or one along it was")
    print("\n".join(failures) if failures else f"layers: self-test passed, {len(bad)} violations found")
    return 1 if failures else 0


def main(arguments):
    if arguments == ["--self-test"]:
        return self_test()
    if len(arguments) not in (1, 2):
        sys.exit(__doc__)
    root = Path(arguments[0]).resolve()
    violations = check_sources(root)
    if len(arguments) == 2:
        if self_test() != 0:
            return 1
        links = graph_of(root, Path(arguments[1]).resolve())
        missing = sorted(set(TARGETS) - set(links) - {t for linked in links.values() for t in linked})
        violations += [f"CMakeLists.txt:1: no target {name}: mend TARGETS in tests/layers.py" for name in missing]
        violations += check_links(links)
    for violation in violations:
        print(violation)
    print(f"layers: {len(violations)} violations" if violations else "layers: every include and link keeps the order")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
