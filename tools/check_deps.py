"""Licences, sources and bans of the dependency tree, by the rules of deny.toml, without a network.

    python3 tools/check_deps.py

What `cargo deny check bans licenses sources` checks, for machines that cannot install it. A crate passes
if its SPDX expression can be met by allowed licences alone.
"""

import json
import re
import subprocess
import sys
import tomllib

REGISTRY = "registry+"


def allowed(expression, names):
    """Whether an SPDX expression (AND binds tighter than OR) can be met by `names`."""
    tokens = re.findall(r"\(|\)|[^\s()]+", expression.replace("/", " OR "))
    position = 0

    def alternatives():
        nonlocal position
        met = conjunction()
        while position < len(tokens) and tokens[position] == "OR":
            position += 1
            met = conjunction() or met
        return met

    def conjunction():
        nonlocal position
        met = atom()
        while position < len(tokens) and tokens[position] == "AND":
            position += 1
            met = atom() and met
        return met

    def atom():
        nonlocal position
        token = tokens[position]
        position += 1
        if token == "(":
            met = alternatives()
            position += 1
            return met
        if position < len(tokens) and tokens[position] == "WITH":
            token = f"{token} WITH {tokens[position + 1]}"
            position += 2
        return token in names

    return alternatives()


def main():
    with open("deny.toml", "rb") as file:
        rules = tomllib.load(file)
    names = set(rules["licenses"]["allow"])
    banned = {entry["name"] for entry in rules["bans"].get("deny", [])}
    target = rules["graph"]["targets"][0]
    command = ["cargo", "metadata", "--format-version", "1", "--locked", "--filter-platform", target]
    metadata = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    used = {node["id"] for node in metadata["resolve"]["nodes"]}
    problems = []
    packages = [package for package in metadata["packages"] if package["id"] in used]
    for package in packages:
        label = f"{package['name']} {package['version']}"
        if package["name"] in banned:
            problems.append(f"{label}: banned")
        if package["source"] and not package["source"].startswith(REGISTRY):
            problems.append(f"{label}: from {package['source']}")
        expression = package["license"]
        if not expression and package["license_file"]:
            continue
        if not expression or not allowed(expression, names):
            problems.append(f"{label}: licence {expression}")
    print("\n".join(problems) or f"{len(packages)} crates: licences, sources and bans are fine")
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
