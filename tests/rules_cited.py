#!/usr/bin/env python3
"""Holds docs/POLICY.md to the tests: every rule P1 to P12 has an example and names tests that are there and cite it.

    tests/rules_cited.py SOURCE_DIRECTORY

A test cites a rule when the rule's number stands in its name, in the comment above it, in its body, or in the comment
that its file begins with. Prints one line per violation and exits 1 when there is one.
"""
import re
import sys
from pathlib import Path

RULES = [f"P{number}" for number in range(1, 13)]
TEST = re.compile(r"^(?:TEST(?:_F|_P)?|RC_GTEST_PROP|RC_GTEST_FIXTURE_PROP)\((\w+),\s*(\w+)", re.M)
NUMBER = re.compile(r"(?<![A-Za-z0-9])P(1[0-2]|[1-9])(?![0-9A-Za-z])(?:(?:-| to )P(1[0-2]|[1-9])(?![0-9]))?")


def numbers_in(text):
    """The rules that a text speaks of; "P3 to P6" and "P1-P3" are ranges."""
    found = set()
    for match in NUMBER.finditer(text.replace("_", " ")):
        first = int(match.group(1))
        found.update(f"P{n}" for n in range(first, int(match.group(2) or first) + 1))
    return found


def tests_of(text):
    """Yields (name, what it cites) for every test of a source file."""
    of_file = numbers_in("\n".join(l for l in text.split("\n\n")[0].splitlines() if l.startswith("//")))
    for match in TEST.finditer(text):
        above = text[:match.start()].rstrip("\n").splitlines()
        comment = []
        while above and above[-1].startswith("//"):
            comment.append(above.pop())
        end = text.find("\n}\n", match.start())
        body = text[match.start():end if end >= 0 else len(text)]
        yield f"{match.group(1)}.{match.group(2)}", numbers_in("\n".join(comment)) | numbers_in(body) | of_file


def sections_of(page):
    """The section of each rule: {"P1": text}."""
    parts = re.split(r"^### (P\d+): .*$", page, flags=re.M)
    return {name: re.split(r"^## ", text, flags=re.M)[0] for name, text in zip(parts[1::2], parts[2::2])}


def check(root):
    """Yields one line per violation."""
    cited = {}
    for path in sorted((root / "tests").rglob("*_test.cpp")):
        for name, rules in tests_of(path.read_text(encoding="utf-8")):
            cited.setdefault(name, set()).update(rules)
    sections = sections_of((root / "docs/POLICY.md").read_text(encoding="utf-8"))
    for rule in RULES:
        section = sections.get(rule)
        if section is None:
            yield f"docs/POLICY.md: no section \"### {rule}: ...\""
            continue
        text, _, listed = section.partition("\nTests:")
        if not re.search(r"^(    \S|```)", text, re.M):
            yield f"docs/POLICY.md: {rule} has no example"
        names = re.findall(r"`(\w+\.\w+)`", listed)
        if not names:
            yield f"docs/POLICY.md: {rule} names no tests"
        for name in names:
            if name not in cited:
                yield f"docs/POLICY.md: {rule} names the test {name}, which isn't there"
            elif rule not in cited[name]:
                yield f"docs/POLICY.md: {rule} names the test {name}, which doesn't cite it"
    for rule in sorted(set(sections) - set(RULES)):
        yield f"docs/POLICY.md: there is no rule {rule}"


def self_test():
    source = ("// P3 to P5: all.\n\nnamespace {\n// P7.\nTEST(A, b) {\n  f();\n}\nTEST_F(A, P11_c) {\n}\n"
              "RC_GTEST_PROP(Q, law, ()) {  // P1, P9\n}\n}\n")
    all_three = {"P3", "P4", "P5"}
    expected = {"A.b": all_three | {"P7"}, "A.P11_c": all_three | {"P11"}, "Q.law": all_three | {"P1", "P9"}}
    if dict(tests_of(source)) != expected:
        return f"rules_cited: self-test: found {dict(tests_of(source))}"
    if numbers_in("P12, TCP1 P13 HP3 P1x") != {"P12"}:
        return "rules_cited: self-test: numbers"
    return None


def main(arguments):
    if len(arguments) != 1:
        sys.exit(__doc__)
    failure = self_test()
    violations = [failure] if failure else list(check(Path(arguments[0])))
    print("\n".join(violations) if violations else "rules_cited: every rule has its example and its tests")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
