"""What routing costs by each kind of table: the same hosts, the same load, another store."""

import report
from contenders import Waypost, WaypostRedis, WaypostRemap

# A table in memcached is a cache of decisions, one in Redis a copy of the whole; on the way of a request
# they should cost the same.
AIM = 1.05


class WaypostEmbedded(Waypost):
    name = "waypost-embedded"


def contenders(stage):
    return [contender(stage) for contender in (WaypostEmbedded, WaypostRedis, WaypostRemap)]


def show(results):
    """The results, {name: [Measurement]}, as Markdown."""
    remap, redis = (report.median_cpu(results[kind.name]) for kind in (WaypostRemap, WaypostRedis))
    verdict = "met" if remap <= AIM * redis else "not met"
    lines = [report.table(results), "", f"waypost-remap ≤ {AIM:g} × waypost-redis: {verdict} ({remap / redis:.3f})"]
    return "\n".join(lines)
