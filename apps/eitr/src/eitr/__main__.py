"""``eitr serve FOLDER``, ``eitr demo``."""

from __future__ import annotations

import argparse
from pathlib import Path

import uvicorn
from prometheus_client import start_http_server

from eitr import app, site


def serve(options: argparse.Namespace) -> None:
    application = app.create(options.folder)
    if options.metrics is not None:
        start_http_server(options.metrics, addr="127.0.0.1", registry=application.state.eitr.registry)
    uvicorn.run(
        application,
        host=options.host,
        port=options.port,
        log_level="warning",
        timeout_keep_alive=5,
        limit_concurrency=200,
        proxy_headers=options.behind is not None,  # uvicorn believes local ones unless told not to
        forwarded_allow_ips=options.behind,
        ssl_certfile=options.ssl_certfile,
        ssl_keyfile=options.ssl_keyfile,
    )


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="eitr", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    serving = commands.add_parser("serve", help="run the server of a folder")
    serving.add_argument("folder", type=site.made)
    serving.add_argument("--port", type=int, default=8765)
    serving.add_argument("--host", default="127.0.0.1")
    serving.add_argument("--behind", metavar="ADDRESS", help="of a proxy whose word for who is asking is believed")
    serving.add_argument("--ssl-certfile", type=Path)
    serving.add_argument("--ssl-keyfile", type=Path)
    serving.add_argument("--metrics", type=int, help="a private port for Prometheus")
    making = commands.add_parser("make", help="fill a folder with the made-up web and a first model")
    making.add_argument("folder", type=Path)
    showing = commands.add_parser("demo", help="server, pages to visit, other clients, and Chromium with the extension")
    showing.add_argument("--seconds", type=float, default=3600.0, help="stop after so long")
    showing.add_argument("--no-browser", action="store_true")
    arguments = parser.parse_args(argv)
    if arguments.command == "serve":
        serve(arguments)
    elif arguments.command == "make":
        site.make_demo(arguments.folder)
    else:
        from eitr import demo

        demo.run(arguments.seconds, browser=not arguments.no_browser)


if __name__ == "__main__":
    main()
