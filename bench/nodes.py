"""What each node of the backend tree costs a request that passes through it.

A tree of one `client` is measured, and the same client behind so many nodes of one type that their cost
stands out from the noise; the difference, divided by their number, is the cost of one.
"""

import report
from contenders import Waypost

# Nodes in a row.
DEPTH = 8
# What one that only delegates may cost.
AIM_NS = 200

# What stands in a node's section, with @CHILD@ for the one below.
NODES = {
    "log": 'backend = "@CHILD@"\nlevel = "debug"',
    "timeout": 'backend = "@CHILD@"\nafter = "30s"',
    "retry": 'backend = "@CHILD@"',
    "try_pass": 'members = ["@CHILD@"]',
    "round_robin": 'members = ["@CHILD@"]',
    "hash_ring": 'members = ["@CHILD@"]',
    "switch": 'default = "@CHILD@"\ncases = [{ path = "/other", backend = "@CHILD@" }]',
    "headers": 'backend = "@CHILD@"\nrequest_remove = ["X-Not-There"]',
    "rate_limit": 'backend = "@CHILD@"\nrate = "1000000/s"',
}
# Those that do nothing but pass the request on.
DELEGATING = ["log", "timeout", "retry", "try_pass", "round_robin", "hash_ring", "switch"]


class Tree(Waypost):
    """A client behind DEPTH nodes of one type, or behind none."""

    looks_up = False

    def __init__(self, stage, node=None):
        self.node = node
        self.name = f"{DEPTH} × {node}" if node else "client alone"
        self.about = f"a client behind {self.name}" if node else "a client"
        super().__init__(stage)

    def start(self):
        depth = DEPTH if self.node else 0
        sections = [f'[backend.n0]\ntype = "client"\nurl = "http://{self.stage.upstreams[0]}"']
        for number in range(1, depth + 1):
            keys = NODES[self.node].replace("@CHILD@", f"n{number - 1}")
            sections.append(f'[backend.n{number}]\ntype = "{self.node}"\n{keys}')
        config = self.directory / "waypost.toml"
        config.write_text("\n\n".join([f'entry = "n{depth}"', *sections]) + "\n")
        self.serve("--config", config)


def contenders(stage):
    return [Tree(stage), *(Tree(stage, node) for node in NODES)]


def show(results):
    """The results, {name: [Measurement]}, as Markdown."""
    alone = report.median_cpu(results["client alone"])
    rows, dear = [["none", f"{alone:.2f}", ""]], []
    for node in NODES:
        cpu = report.median_cpu(results[f"{DEPTH} × {node}"])
        cost = (cpu - alone) * 1000 / DEPTH
        rows.append([node, f"{cpu:.2f}", f"{cost:.0f}"])
        if node in DELEGATING and cost > AIM_NS:
            dear.append(node)
    table = report.markdown([f"{DEPTH} nodes in a row", "CPU µs/request", "ns a node"], rows)
    verdict = f"not met by {', '.join(dear)}" if dear else "met"
    return f"{table}\n\na node that only delegates ≤ {AIM_NS} ns: {verdict}"
