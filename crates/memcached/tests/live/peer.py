"""Writes or reads keys through pylibmc, with the words of peer.c (no prefix)."""

import sys

import pylibmc

_, keyfile, what, hashname, distribution, _, *servers = sys.argv
behaviors = {
    "modula": {"distribution": "modula"},
    # With the servers, pylibmc's "ketama" heeds their weights; set later, it doesn't.
    "consistent": {"ketama": True},
    "ketama": {"ketama": True},
    "consistent_weighted": {"distribution": "consistent weighted"},
    "ketama_weighted": {"ketama_weighted": True},
}[distribution]
behaviors["hash"] = hashname
if distribution == "ketama":
    client = pylibmc.Client(servers)
    client.behaviors = behaviors
else:
    client = pylibmc.Client(servers, behaviors=behaviors)

with open(keyfile, encoding="utf-8") as keys:
    for key in keys.read().splitlines():
        value = b"of " + key.encode()
        if what == "write":
            client.set(key, value)
        elif client.get(key) != value:
            sys.exit(f"{key}: {client.get(key)!r}")
