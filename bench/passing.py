"""What it costs to be passed on: the first backend answers 501, the second takes the request."""

import report
from contenders import Nginx, Waypost


class WaypostPassing(Waypost):
    name = "waypost-try-pass"
    about = "try_pass over two clients, the first of which always passes"
    looks_up = False

    def start(self):
        self.serve("--config", self.configure("try-pass.toml"))


class NginxPassing(Nginx):
    name = "nginx-error-page"
    about = "proxy_intercept_errors and error_page 501 = @next"
    config = "nginx-passing.conf"


def contenders(stage):
    return [WaypostPassing(stage), NginxPassing(stage)]


def show(results):
    """The results, {name: [Measurement]}, as Markdown."""
    ours, theirs = (report.median_cpu(results[kind.name]) for kind in (WaypostPassing, NginxPassing))
    return f"{report.table(results)}\n\nwaypost-try-pass over nginx-error-page: {ours / theirs:.2f}"
